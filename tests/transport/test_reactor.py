"""The reactor that is installed or found: its clock, its loop, and what it does when a handler fails."""

import subprocess
import sys
import textwrap

import pytest


def run(program):
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize(("fast", "name"), [(True, "LeanEPollReactor"), (False, "SteadyEPollReactor")])
def test_where_there_is_none_ours_is_installed_with_a_monotonic_clock(fast, name):
    said = run(f"""
        import time
        from edge.transport.reactor import install_or_adapt
        print(install_or_adapt({fast}))
        from twisted.internet import reactor
        print(type(reactor).__name__, abs(reactor.seconds() - time.monotonic()) < 1)
        began = time.monotonic()
        reactor.callLater(0.1, reactor.stop)
        reactor.run()
        print(0.1 <= time.monotonic() - began < 2)
    """)
    assert said == ["None", name, "True", "True"]


def test_one_that_is_there_is_adapted_loop_and_clock():
    said = run("""
        import time
        from twisted.internet import reactor
        from edge.transport.reactor import install_or_adapt, LeanEPollReactor
        print(install_or_adapt(True), reactor.seconds is time.monotonic)
        print(reactor.doIteration.__func__ is LeanEPollReactor.doPoll)
        reactor.callLater(0.05, reactor.stop)
        reactor.run()
        print("stopped")
    """)
    assert said == ["None", "True", "True", "stopped"]


def test_with_timers_set_the_clock_is_left_alone_and_that_is_said():
    said = run("""
        from twisted.internet import reactor
        from edge.transport.reactor import install_or_adapt
        before = reactor.seconds
        reactor.callLater(0.05, reactor.stop)
        print("timers are set already" in install_or_adapt(True), reactor.seconds == before)
        reactor.run()
        print("stopped")
    """)
    assert said == ["True", "True", "stopped"]


def test_another_kind_of_loop_is_kept_and_that_is_said():
    said = run("""
        from twisted.internet import selectreactor
        selectreactor.install()
        from edge.transport.reactor import install_or_adapt
        print("SelectReactor" in install_or_adapt(True))
        print(install_or_adapt(False))
    """)
    assert said == ["True", "None"]


def test_a_jump_of_the_system_time_moves_no_timer():
    said = run("""
        import time
        from edge.transport.reactor import install_or_adapt
        install_or_adapt(True)
        from twisted.internet import reactor
        fired = []
        reactor.callLater(100, fired.append, 1)
        time.time = lambda: 4e9
        reactor.callLater(0.05, reactor.stop)
        reactor.run()
        print(fired)
    """)
    assert said == ["[]"]


def test_a_handler_that_fails_loses_its_own_connection_only():
    said = run("""
        from edge.transport.reactor import install_or_adapt
        install_or_adapt(True)
        from twisted.internet import reactor
        from twisted.internet.protocol import Factory, Protocol
        from edge.transport.listen import listen
        from edge.transport.connect import connect
        class Fails(Protocol):
            def dataReceived(self, data):
                if data == b"bad":
                    raise ValueError
                self.transport.write(data)
            def connectionLost(self, reason):
                print(reason.type.__name__)
        class Says(Protocol):
            def dataReceived(self, data):
                print(data.decode())
                reactor.stop()
        port = listen(reactor, True, "127.0.0.1:0", Factory.forProtocol(Fails))
        factory = Factory.forProtocol(Says)
        def good(protocol):
            reactor.callLater(0.1, protocol.transport.write, b"good")
        number = port.getHost().port
        connect(reactor, True, "127.0.0.1", number, factory).addCallback(good)
        connect(reactor, True, "127.0.0.1", number, factory).addCallback(lambda p: p.transport.write(b"bad"))
        reactor.run()
    """)
    assert said[:2] == ["ValueError", "good"]


def test_a_busy_loop_keeps_its_timers_hears_other_threads_and_stops_when_asked():
    said = run("""
        import socket, threading, time
        from edge.transport.reactor import install_or_adapt
        install_or_adapt(True)
        from twisted.internet import reactor
        from twisted.internet.protocol import Factory, Protocol
        from twisted.logger import globalLogPublisher

        failed = []
        globalLogPublisher.addObserver(lambda event: failed.append(event) if "log_failure" in event else None)

        class Echo(Protocol):
            def dataReceived(self, data):
                self.transport.write(data)

        def talk(port):
            with socket.create_connection(("127.0.0.1", port)) as made:
                while not ended:
                    made.sendall(b"x" * 100)
                    made.recv(100)

        ended = []
        factory = Factory.forProtocol(Echo)
        port = reactor.listenTCP(0, factory, interface="127.0.0.1").getHost().port
        threads = [threading.Thread(target=talk, args=(port,), daemon=True) for _ in range(4)]
        late, called, soon = [], [], []

        def tick(due):
            late.append(time.monotonic() - due)
            reactor.callLater(0, soon.append, True)
            if len(late) < 50:
                reactor.callLater(0.01, tick, time.monotonic() + 0.01)
            else:
                threading.Thread(target=reactor.callFromThread, args=(finish,)).start()

        def finish():
            called.append(True)
            ended.append(True)
            reactor.stop()

        reactor.callWhenRunning(lambda: [each.start() for each in threads])
        reactor.callLater(0.01, tick, time.monotonic() + 0.01)
        began = time.monotonic()
        reactor.run()
        print(sorted(late)[25] < 0.05, len(called), len(soon) >= 49, time.monotonic() - began < 30, failed)
    """)
    assert said == ["True", "1", "True", "True", "[]"]
