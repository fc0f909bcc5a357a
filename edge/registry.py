"""Finding the plugins: from folders by path and from installed packages by entry point, loudly."""

import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from hashlib import sha256
from importlib.machinery import SourceFileLoader
from importlib.metadata import EntryPoint, entry_points
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import CodeType, MappingProxyType, ModuleType
from typing import Any, Final, cast

from attrs import frozen
from twisted.logger import Logger
from zope.interface import Invalid
from zope.interface.verify import verifyObject

from edge.core.service import Traits
from edge.errors import ConfigError, ConfigErrors, HomeError, PluginError
from edge.home import refuse_strangers
from edge.interfaces import IBench, IKnownKind, IService, IServicePlugin

API: Final = 1
GROUP: Final = "aigate.plugins"
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")


@frozen
class Found:
    """One plugin and where it came from."""

    plugin: Any
    """Provides IServicePlugin."""
    source: str
    """The file, or the package and its entry point."""
    shipped: bool = False

    @property
    def name(self) -> str:
        return str(self.plugin.name)

    @property
    def traits(self) -> Traits | None:
        """What the plugin says of its kind beforehand; None where it does not."""
        traits = getattr(self.plugin, "traits", None)
        return traits if isinstance(traits, Traits) else None

    def configure(self, settings: Mapping[str, Any], bench: IBench) -> IService:
        """The service that the plugin makes of a service's settings; both are described in `edge.interfaces`.

        Raises ConfigError as the plugin does, and PluginError, with the plugin's own line, for anything else that it raises
        or that is not a service.
        """
        try:
            service = self.plugin.configure(settings, bench)
        except (ConfigError, ConfigErrors):
            raise
        except (Exception, SystemExit) as error:
            raise _told(error, self.source) from None
        try:
            verifyObject(IService, service)
        except Invalid:
            raise PluginError(self.source, f"configure() made a {type(service).__name__}, not a service") from None
        return cast(IService, service)


@frozen
class Registry:
    """Every plugin by name: the shipped ones first, each group in the order of names."""

    plugins: Mapping[str, Found]

    @classmethod
    def load(
        cls,
        shipped: Path,
        folders: Iterable[Path] = (),
        points: Iterable[EntryPoint] | None = None,
        log: Logger | None = None,
    ) -> "Registry":
        """Everything in the shipped folder, the operator's folders and the entry-point group (`points`: None asks what is
        installed). Raises PluginError for whatever is broken, doubled or not a plugin, used or not."""
        log = log or Logger(namespace="aigate.plugins")
        plugins: dict[str, Found] = {}
        for found in from_folder(shipped, shipped=True):
            _add(plugins, found)
        own: dict[str, Found] = {}
        for folder in folders:
            for found in from_folder(folder):
                _add(own, found)
        for point in sorted(
            entry_points(group=GROUP) if points is None else points, key=lambda one: (one.name, one.value)
        ):
            for found in from_entry_point(point):
                _add(own, found)
        for name, found in own.items():
            if name in plugins:
                log.info("Plugin {name}: {source} takes the place of the shipped one", name=name, source=found.source)
            plugins[name] = found
        return cls(MappingProxyType(plugins))

    def __contains__(self, name: object) -> bool:
        return name in self.plugins

    def __iter__(self) -> Iterator[Found]:
        return iter(self.plugins.values())

    def require(self, name: str, asker: Path | str = "plugin") -> Found:
        """The plugin of that name. Raises PluginError in the name of who asks, with the nearest known name."""
        if (found := self.plugins.get(name)) is not None:
            return found
        near = get_close_matches(name, self.plugins, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(self.plugins)) or 'none'}"
        raise PluginError(asker, f"there is no plugin called {name!r}; {hint}")

    @property
    def known(self) -> Mapping[str, Traits | None]:
        """Every plugin's name, with what it says of its kind beforehand."""
        return {found.name: found.traits for found in self}

    @property
    def kinds(self) -> Mapping[str, Traits]:
        """The traits of each plugin that says them beforehand, by name."""
        return {found.name: found.traits for found in self if found.traits is not None}


def from_folder(folder: Path, shipped: bool = False) -> list[Found]:
    """The plugins of every `*.py` in a folder, in the order of file names; a name that begins with `_` is passed over.

    Raises PluginError for a folder that cannot be read, for one of the operator's that others may write, and for the first
    file that is broken.
    """
    if not shipped:
        _ours_alone(folder, "this plugin folder")
    try:
        files = sorted(path for path in folder.iterdir() if path.suffix == ".py" and not path.name.startswith("_"))
    except OSError as error:
        raise PluginError(folder, f"this plugin folder cannot be read: {error.strerror}") from None
    return [found for path in files for found in from_file(path, shipped)]


def from_file(path: Path, shipped: bool = False) -> list[Found]:
    """The plugins that one file makes. Raises PluginError, with the line where that is known."""
    if not shipped:
        _ours_alone(path, "this plugin")
    # Two folders may hold a file of the same name, and neither may hide a module that is installed.
    name = f"aigate_plugin_{sha256(str(path.absolute()).encode()).hexdigest()[:12]}_{path.stem}"
    loader = _Source(name, str(path))
    spec = spec_from_loader(name, loader)
    assert spec is not None
    module = module_from_spec(spec)
    sys.modules[name] = module  # attrs and typing look a class's annotations up in its module
    try:
        loader.exec_module(module)
        return [_checked(value, str(path), shipped) for value in _plugins_of(module, str(path))]
    except PluginError:
        del sys.modules[name]
        raise
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise _told(error, str(path)) from None


def from_entry_point(point: EntryPoint) -> list[Found]:
    """The plugins of one entry point, which names a plugin or a module that makes some. Raises PluginError."""
    package = point.dist.name if point.dist is not None else "?"
    source = f"{package} ({point.value})"
    try:
        value = point.load()
        values = _plugins_of(value, source) if isinstance(value, ModuleType) else [value]
        return [_checked(value, source, False) for value in values]
    except PluginError:
        raise
    except (Exception, SystemExit) as error:
        raise _told(error, source) from None


def _ours_alone(path: Path, what: str) -> None:
    # Whoever can write here runs code as the gate.
    try:
        refuse_strangers(path, what)
    except HomeError as error:
        raise PluginError(path, str(error).removeprefix(f"{path}: ")) from None


class _Source(SourceFileLoader):
    """Compiles from source each time: no bytecode is written beside an operator's files, and none found there is run."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


def _add(plugins: dict[str, Found], found: Found) -> None:
    if (other := plugins.get(found.name)) is not None:
        raise PluginError(found.source, f"the plugin {found.name!r} is also in {other.source}; take one of them away")
    plugins[found.name] = found


def _plugins_of(module: ModuleType, source: str) -> Sequence[Any]:
    values = {id(value): value for value in vars(module).values() if IServicePlugin.providedBy(value)}
    if values:
        return list(values.values())
    forgotten = [
        name
        for name, value in vars(module).items()
        if isinstance(value, type) and value.__module__ == module.__name__ and IServicePlugin.implementedBy(value)
    ]
    hint = (
        f"{forgotten[0]} is never made: end with `plugin = {forgotten[0]}()`"
        if forgotten
        else "nothing in it provides IServicePlugin"
    )
    raise PluginError(source, f"holds no plugin: {hint}")


def _checked(plugin: Any, source: str, shipped: bool) -> Found:
    api = getattr(plugin, "api", None)
    if api != API:
        raise PluginError(
            source, f"is written for version {api!r} of the plugin interface; this gate speaks version {API}"
        )
    try:
        verifyObject(IServicePlugin, plugin)
    except Invalid as error:
        raise PluginError(source, "is no service plugin: " + " ".join(str(error).split())) from None
    if not isinstance(plugin.name, str) or not _NAME.fullmatch(plugin.name):
        raise PluginError(source, f"the name {plugin.name!r} must be lower-case letters, digits, - and _")
    if IKnownKind.providedBy(plugin) and not isinstance(plugin.traits, Traits):
        raise PluginError(source, f"its traits are a {type(plugin.traits).__name__}, not edge.core.service.Traits")
    return Found(plugin, source, shipped)


def _told(error: BaseException, source: str) -> PluginError:
    """An exception that a plugin raised, as one line with the plugin's own line."""
    if isinstance(error, OSError) and error.filename == source:
        return PluginError(source, f"cannot be read: {error.strerror}")
    if isinstance(error, SyntaxError):
        file = source if error.filename in (None, source) else f"{source}: {error.filename}"
        return PluginError(f"{file}:{error.lineno}" if error.lineno else file, f"{type(error).__name__}: {error.msg}")
    said = " ".join(str(error).split()) or "no further word"
    return PluginError(where(error, source), f"{type(error).__name__}: {said}")


def where(error: BaseException, source: str) -> str:
    """Where an exception comes from: `file:line` of the deepest frame in the file `source`; where none is, `source` and the
    `file:line` of the first frame that is neither ours nor Python's import machinery."""
    own, first, trace = 0, "", error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if file == source:
            own = trace.tb_lineno
        elif not first and file != __file__ and not file.startswith("<frozen") and "/importlib/" not in file:
            first = f"{source}: {file}:{trace.tb_lineno}"
        trace = trace.tb_next
    return f"{source}:{own}" if own else first or source
