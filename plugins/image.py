"""Images: ComfyUI with its WebSocket, and Stable Diffusion WebUI (AUTOMATIC1111, Forge, SD.Next).

A plain key may queue work, upload what the work needs, look at what came of it and load the page. What changes things for
everybody needs the scope `manage`: the queue and history of others, settings, stored workflows, and whatever ComfyUI's manager
or another custom node adds, since some of that installs code or restarts the server on a mere GET.
"""

from collections.abc import Mapping
from itertools import chain
from typing import Any

from attrs import evolve, frozen
from zope.interface import implementer

from edge.core.service import ANY_METHOD, POST, READ, Question, Rule, Traits
from edge.interfaces import IBench, IKnownKind, IService, IServicePlugin


@frozen
class Options:
    """`options` of an image service."""

    interrupt: bool = False
    """Whether a plain key may stop what the server is drawing, whoever asked for it."""


def comfy(*rules: Rule) -> tuple[Rule, ...]:
    """ComfyUI serves each of its paths below `/api` as well."""
    return tuple(chain.from_iterable((rule, evolve(rule, path=f"/api{rule.path}")) for rule in rules))


STOPS = (*comfy(Rule(POST, "/interrupt")), Rule(POST, "/sdapi/v1/interrupt"), Rule(POST, "/sdapi/v1/skip"))


def draws(path: str) -> Rule:
    return Rule(POST, path, work=True, units="images")


def reads(*paths: str) -> tuple[Rule, ...]:
    return tuple(Rule(READ, path) for path in paths)


def loads(*paths: str) -> tuple[Rule, ...]:
    """What a page loads by the dozen when it is opened."""
    return tuple(Rule(READ, path, page=True) for path in paths)


TRAITS = Traits(
    kind="image",
    route="/image/api",
    health=Question("/system_stats", key="system"),
    ports=(8188,),
    others=((7860, Question("/sdapi/v1/options", text="sd_model_checkpoint")),),
    rules=(
        *comfy(
            draws("/prompt"),
            Rule(POST, "/upload/image"),
            Rule(POST, "/upload/mask"),
            *reads(
                "/ws",
                "/prompt",
                "/queue",
                "/history",
                "/history/*",
                "/view",
                "/view_metadata/*",
                "/object_info",
                "/object_info/*",
                "/system_stats",
                "/features",
                "/embeddings",
                "/models",
                "/models/*",
                "/experiment/models",
                "/experiment/models/*",
                "/extensions",
                "/jobs",
                "/jobs/*",
                "/workflow_templates",
                "/global_subgraphs",
                "/global_subgraphs/*",
                "/i18n",
                "/settings",
                "/settings/*",
                "/userdata",
                "/userdata/*",
                "/users",
            ),
            Rule(ANY_METHOD, "/interrupt", scope="manage"),
            Rule(ANY_METHOD, "/free", scope="manage"),
            Rule(ANY_METHOD, "/internal/*", scope="manage"),
        ),
        # What the page itself loads
        *loads("/", "/index.html", "/favicon.ico", "/manifest.json", "/user.css", "/materialdesignicons.min.css"),
        *loads(
            "/assets/*", "/extensions/*", "/scripts/*", "/lib/*", "/fonts/*", "/cursor/*", "/templates/*", "/docs/*"
        ),
        # Stable Diffusion WebUI
        draws("/sdapi/v1/txt2img"),
        draws("/sdapi/v1/img2img"),
        draws("/sdapi/v1/extra-single-image"),
        draws("/sdapi/v1/extra-batch-images"),
        Rule(POST, "/sdapi/v1/interrogate", work=True),
        Rule(POST, "/sdapi/v1/png-info"),
        Rule(POST, "/controlnet/detect", work=True),
        *reads(
            "/sdapi/v1/options",
            "/sdapi/v1/progress",
            "/sdapi/v1/samplers",
            "/sdapi/v1/schedulers",
            "/sdapi/v1/upscalers",
            "/sdapi/v1/latent-upscale-modes",
            "/sdapi/v1/sd-models",
            "/sdapi/v1/sd-modules",
            "/sdapi/v1/sd-vae",
            "/sdapi/v1/hypernetworks",
            "/sdapi/v1/face-restorers",
            "/sdapi/v1/realesrgan-models",
            "/sdapi/v1/prompt-styles",
            "/sdapi/v1/embeddings",
            "/sdapi/v1/loras",
            "/sdapi/v1/memory",
            "/sdapi/v1/scripts",
            "/sdapi/v1/script-info",
            "/sdapi/v1/extensions",
            "/controlnet/model_list",
            "/controlnet/module_list",
        ),
        Rule(POST, "/sdapi/v1/options", scope="manage"),
    ),
    concurrency=1,
    jobs="/queue",
    upgrades=frozenset({b"websocket"}),
    unload=("POST", "/free", {"unload_models": True, "free_memory": True}),
    options=Options,
)


@implementer(IServicePlugin, IKnownKind)
@frozen
class Image:
    name: str = "image"
    api: int = 1
    traits: Traits = TRAITS

    def configure(self, settings: Mapping[str, Any], bench: IBench) -> IService:
        service = bench.proxy(settings["upstreams"], self.traits)
        return service.with_rules(*STOPS) if settings["options"].interrupt else service


image = Image()
