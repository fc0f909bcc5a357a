"""Makes `twistd aigate` known; nothing else may happen here, since every `twistd` loads it."""

from twisted.application.service import ServiceMaker

aigate = ServiceMaker("aigate", "edge.tap", "The door of a home AI server.", "aigate")
