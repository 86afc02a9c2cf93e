from __future__ import annotations

import errno
import json
import os
import pathlib
import random
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from typing import Any
from unittest import mock

import tapedeck
from tapedeck import _disk, events
from tapedeck.spool import Spool, rejects_in
from tests.ingest import Ingest, problem

NOWHERE = "http://127.0.0.1:9"
HERE = pathlib.Path(__file__).parent.parent


def mark(n: int, **data: Any) -> dict[str, Any]:
    return events.make("position.price_marked.v1", {"account_id": "55009728", "n": n, **data}, id=f"e{n}")


class Case(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.spool = self.folder / "spool"

    def ingest(self, port: int = 0) -> Ingest:
        ingest = Ingest(port)
        self.addCleanup(ingest.close)
        return ingest

    def tape(self, url: str, **settings: Any) -> tapedeck.Tape:
        tape = tapedeck.Tape(url, self.spool, **settings)
        self.addCleanup(tape.close, 0)
        return tape


class Delivering(Case):
    def test_events_arrive_once_and_in_order_whatever_ingest_does(self) -> None:
        ingest = self.ingest()
        tape = self.tape(ingest.url)
        ingest.lose_answers = 3
        troubles = [problem(503, "fate-unknown"), problem(429, "busy"), (404, {}, b"another server"), (200, {}, b"{}")]
        ingest.answer = lambda batch: troubles.pop() if troubles else None
        deliveries = [tape.publish(mark(n)) for n in range(300)]
        self.assertTrue(tape.flush(20))
        self.assertEqual([e["id"] for e in ingest.log], [f"e{n}" for n in range(300)])
        self.assertEqual([d.wait(1).sequence for d in deliveries], list(range(1, 301)))
        self.assertEqual(tape.last_sequence, 300)
        self.assertEqual(troubles, [])
        self.assertIsNone(tape.status().error)

    def test_what_was_spooled_while_ingest_was_down_is_sent_by_the_next_life(self) -> None:
        tape = self.tape(NOWHERE)
        delivery = tape.publish(mark(0))
        with self.assertRaises(tapedeck.UndeliveredError):
            delivery.wait(0.1)
        tape.publish_many([mark(1), mark(2)])
        self.assertFalse(tape.close(0))
        with self.assertRaises(tapedeck.SpoolError):
            tape.publish(mark(3))
        ingest = self.ingest()
        tape = self.tape(ingest.url)
        self.assertEqual(tape.status().pending + len(ingest.log), 3)
        tape.publish(mark(3))
        self.assertTrue(tape.flush(10))
        self.assertEqual([e["id"] for e in ingest.log], ["e0", "e1", "e2", "e3"])

    def test_threads_keep_their_own_order(self) -> None:
        ingest = self.ingest()
        tape = self.tape(ingest.url)

        def strategy(name: int) -> None:
            for n in range(50):
                tape.publish(mark(1000 * name + n))

        threads = [threading.Thread(target=strategy, args=(name,)) for name in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertTrue(tape.flush(20))
        numbers = [e["data"]["n"] for e in ingest.log]
        for name in range(4):
            self.assertEqual([n for n in numbers if n // 1000 == name], [1000 * name + n for n in range(50)])

    def test_refused_events_step_aside(self) -> None:
        ingest = self.ingest()
        tape = self.tape(ingest.url)
        good, bad, last = tape.publish_many([mark(0), mark(1, rule="must be known"), mark(2)])
        self.assertEqual((good.wait(5).sequence, last.wait(5).sequence), (1, 2))
        with self.assertRaises(tapedeck.RejectedError) as refusal:
            bad.wait(5)
        self.assertIsInstance(refusal.exception, ValueError)
        self.assertEqual(
            (refusal.exception.event_id, refusal.exception.rule, refusal.exception.field), ("e1", "must be known", "data.rule")
        )
        [entry] = rejects_in(self.spool)
        self.assertEqual((entry["id"], entry["rule"], entry["event"]["data"]["n"]), ("e1", "must be known", 1))
        ingest.take = lambda batch: (200, {}, json.dumps([{"id": e["id"], "sequence": 9} for e in batch]).encode())  # type: ignore[method-assign]
        self.assertEqual(tape.retry_rejects(), 1)
        self.assertTrue(tape.flush(5))
        self.assertEqual((tape.status().rejected, tape.last_sequence), (0, 9))

    def test_a_request_that_is_refused_as_a_whole_is_halved_to_the_culprit(self) -> None:
        ingest = self.ingest()
        blocked = True
        ingest.answer = lambda batch: (
            problem(503, "not-ready") if blocked else problem(413, "too-large") if any(e["id"] == "e5" for e in batch) else None
        )
        tape = self.tape(ingest.url)
        tape.publish_many([mark(n) for n in range(9)])
        blocked = False
        self.assertTrue(tape.flush(10))
        self.assertEqual([e["id"] for e in ingest.log], [f"e{n}" for n in range(9) if n != 5])
        self.assertEqual([entry["id"] for entry in rejects_in(self.spool)], ["e5"])

    def test_what_cannot_be_sent_is_refused_at_once(self) -> None:
        tape = self.tape(NOWHERE)
        for event in ({}, {"type": "x"}, mark(0, price=float("nan")), mark(0, text="\ud800"), mark(0, what=object())):
            with self.assertRaises(ValueError):
                tape.publish_many([mark(1), event])
        self.assertEqual(tape.status().pending, 0)

    def test_the_policy_is_asked_for(self) -> None:
        ingest = self.ingest()
        self.tape(ingest.url + "/base/", session_policy="flag").publish(mark(0)).wait(5)
        self.assertEqual(ingest.requests, [("/base/v1/events?session_policy=flag", 1)])


    def test_the_same_event_twice_is_answered_twice(self) -> None:
        ingest = self.ingest()
        ingest.answer = lambda batch: problem(503, "not-ready")
        tape = self.tape(ingest.url)
        waiting = [tape.publish({**mark(1), "time": "2025-01-02T10:00:00+08:00"}) for _ in range(2)]
        ingest.answer = None
        self.assertEqual([d.wait(5).sequence for d in waiting], [1, 1])

    def test_a_refusal_that_is_raised_is_not_kept(self) -> None:
        ingest = self.ingest()
        tape = self.tape(ingest.url)
        with self.assertRaises(tapedeck.RejectedError):
            tape.ask(mark(0, rule="no"), 5)
        self.assertEqual((rejects_in(self.spool), tape.status().rejected), ([], 0))
        self.assertEqual(tape.ask(mark(1), 5).sequence, 1)
        ingest.answer = lambda batch: problem(503, "not-ready")
        with self.assertRaises(tapedeck.UndeliveredError) as late:
            tape.ask(mark(2, rule="no"), 0.1)
        ingest.answer = None
        self.assertTrue(tape.flush(5))
        self.assertEqual([e["id"] for e in rejects_in(self.spool)], ["e2"], late.exception)  # nobody was told

    def test_what_ingest_would_not_take_for_its_size_is_refused_at_once(self) -> None:
        tape = self.tape(NOWHERE)
        with self.assertRaises(ValueError):
            tape.publish(mark(0, text="x" * (1 << 20)))
        tape.publish(mark(0, text="x" * ((1 << 20) - 1000)))

    def test_an_ingest_that_hangs_does_not_keep_the_process(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections and says nothing
            code = "import sys, tapedeck; from tests.test_tape import mark; tape = tapedeck.Tape(*sys.argv[1:]); tape.publish(mark(0))"
            begun = time.monotonic()
            url = f"http://127.0.0.1:{silent.getsockname()[1]}"
            subprocess.run([sys.executable, "-c", code, url, self.spool], cwd=HERE, check=True, timeout=30)
            self.assertLess(time.monotonic() - begun, 2.5)  # with Python's own start
        self.assertEqual(Spool(self.spool).pending, 1)


class OnDisk(Case):
    def lines(self, spool: Spool) -> list[bytes]:
        return [line.payload for line in spool.read(10**6, 10**9)]

    def open(self, **settings: Any) -> Spool:
        spool = Spool(self.spool, **settings)
        self.addCleanup(spool.close)
        return spool

    def test_one_writer(self) -> None:
        spool = self.open()
        with self.assertRaises(tapedeck.SpoolBusyError):
            Spool(self.spool)
        spool.close()
        self.open()

    def test_a_cut_at_any_byte_keeps_each_append_whole_or_not_at_all(self) -> None:
        spool = self.open()
        spool.append([b'{"id":"a"}'])
        first = next(self.spool.glob("*.spool")).stat().st_size
        spool.append([b'{"id":"b"}', '{"id":"名"}'.encode()])
        spool.close()
        [segment] = self.spool.glob("*.spool")
        whole = segment.read_bytes()
        for cut in range(len(whole) + 1):
            segment.write_bytes(whole[:cut])
            spool = self.open()
            kept = 3 if cut == len(whole) else 1 if cut >= first else 0
            self.assertEqual(spool.pending, kept)
            self.assertEqual(len(self.lines(spool)), kept)
            spool.append([b'{"id":"c"}'])
            self.assertEqual(self.lines(spool)[-1], b'{"id":"c"}')
            spool.close()

    def test_segments_rotate_and_go(self) -> None:
        seed = random.randrange(2**32)
        chance = random.Random(seed)
        spool = self.open(segment_bytes=200)
        expected, begun = [], 0
        with self.subTest(seed=seed):
            for step in range(200):
                what = chance.random()
                if what < 0.5:
                    batch = [b'{"id":"%d"}' % (begun + i) for i in range(chance.randrange(1, 6))]
                    begun += len(batch)
                    spool.append(batch)
                    expected += batch
                elif what < 0.9:
                    batch = spool.read(chance.randrange(1, 9), 10**6)
                    self.assertEqual([line.payload for line in batch], expected[: len(batch)])
                    self.assertTrue(batch or not expected)
                    if batch:
                        spool.advance(batch[-1], len(batch))
                        expected = expected[len(batch) :]
                else:
                    spool.close()
                    spool = self.open(segment_bytes=200)
                self.assertEqual(spool.pending, len(expected))
                self.assertLessEqual(len(list(self.spool.glob("*.spool"))), 2 + len(expected) * 20 // 200)
            self.assertEqual(self.lines(spool), expected)

    def test_a_lost_cursor_repeats_and_loses_nothing(self) -> None:
        for text in (None, "", "{}", '{"segment": 1, "offset": 10000}', '{"segment": 0, "offset": 5}'):
            spool = self.open()
            spool.append([b'{"id":"a"}', b'{"id":"b"}'])
            spool.close()
            if text is None:
                (self.spool / "cursor").unlink(missing_ok=True)
            else:
                (self.spool / "cursor").write_text(text)
            spool = self.open()
            self.assertEqual(self.lines(spool)[-2:], [b'{"id":"a"}', b'{"id":"b"}'])
            spool.close()

    def test_damage_is_put_aside(self) -> None:
        spool = self.open()
        spool.append([b'{"id":"a","data":{}}', b'{"id":"b","data":{}}', b'{"id":"c","data":{}}'])
        spool.close()
        [segment] = self.spool.glob("*.spool")
        segment.write_bytes(segment.read_bytes().replace(b'"b"', b'"B"'))
        ingest = self.ingest()
        tape = self.tape(ingest.url)
        self.assertTrue(tape.flush(5))
        self.assertEqual([e["id"] for e in ingest.log], ["a", "c"])
        [entry] = rejects_in(self.spool)
        self.assertIn('"B"', entry["text"])
        self.assertEqual(tape.status().rejected, 1)
        tape.publish(mark(0, rule="no"))
        self.assertTrue(tape.flush(5))
        self.assertEqual((tape.status().rejected, tape.retry_rejects()), (2, 1))
        self.assertTrue(tape.flush(5))
        self.assertEqual(len([e for e in rejects_in(self.spool) if "text" in e]), 1)  # nobody has looked at it yet

    def test_a_full_disk_records_nothing_and_recovers(self) -> None:
        spool = self.open()
        spool.append([b'{"id":"a"}'])
        usual, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (40, hard))
            with self.assertRaises(tapedeck.SpoolError):
                spool.append([b'{"id":"b"}', b'{"id":"c"}'])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (usual, hard))
            signal.signal(signal.SIGXFSZ, before)
        self.assertEqual(self.lines(spool), [b'{"id":"a"}'])
        spool.append([b'{"id":"d"}'])
        self.assertEqual(self.lines(spool), [b'{"id":"a"}', b'{"id":"d"}'])

    def test_a_full_disk_frees_itself_of_what_is_delivered(self) -> None:
        full = [False]
        written, saved = _disk.write_all, _disk.replace_json

        def write(fd: int, data: bytes) -> None:
            if full[0] and os.fstat(fd).st_size > 0:
                os.write(fd, data[:5])
                raise OSError(errno.ENOSPC, "full")
            written(fd, data)

        def replace(path: pathlib.Path, value: Any) -> None:
            if full[0]:
                raise OSError(errno.ENOSPC, "full")
            saved(path, value)

        with mock.patch.object(_disk, "write_all", write), mock.patch.object(_disk, "replace_json", replace):
            spool = self.open()
            spool.append([b'{"id":"a"}', b'{"id":"b"}'])
            [a, b] = spool.read(9, 10**6)
            spool.advance(a, 1, 7)
            full[0] = True
            with self.assertRaises(tapedeck.SpoolError):  # b is not delivered and must stay
                spool.append([b'{"id":"c"}'])
            spool.advance(b, 1, 8)
            self.assertEqual([p.stat().st_size for p in self.spool.glob("*.spool")], [0])
            spool.append([b'{"id":"d"}'])
            spool.close()
            spool = self.open()
            self.assertEqual(self.lines(spool), [b'{"id":"d"}'])
            spool.advance(spool.read(1, 1)[0], 1, 9)
            spool.append([b'{"id":"e"}'])  # room is made by the append itself, too
            self.assertEqual(self.lines(spool), [b'{"id":"e"}'])

    def test_the_last_sequence_outlives_the_process(self) -> None:
        ingest = self.ingest()
        tape = self.tape(ingest.url)
        tape.publish_many([mark(0), mark(1)])
        self.assertTrue(tape.flush(5))
        tape.close(0)
        self.assertEqual(self.tape(NOWHERE).last_sequence, 2)

    def test_a_missing_segment_is_told(self) -> None:
        for missing, left in (("0000000002.spool", 2), ("0000000001.spool", 2)):
            self.spool = self.folder / missing
            spool = self.open(segment_bytes=10)
            for name in (b"a", b"b", b"c"):
                spool.append([b'{"id":"%s"}' % name])
            if missing == "0000000001.spool":
                _disk.replace_json(self.spool / "cursor", {"segment": 1, "offset": 0})
            spool.close()
            (self.spool / missing).unlink()
            spool = self.open()
            self.assertEqual((spool.pending, spool.rejected), (left, 1))
            self.assertIn(missing, rejects_in(self.spool)[0]["text"])
            spool.close()
            self.assertEqual(self.open().rejected, 1)

    def test_segments_that_vanish_under_way_do_not_stop_it(self) -> None:
        tape = self.tape(NOWHERE)
        tape.publish_many([mark(0), mark(1)])
        for segment in self.spool.glob("*.spool"):
            segment.unlink()
        self.assertTrue(tape.flush(10))
        self.assertIn("2 events", rejects_in(self.spool)[0]["text"])
        tape.publish(mark(2))
        self.assertEqual([e["id"] for e in tape.spool.waiting()], ["e2"])

    def test_a_forked_child_leaves_the_spool_to_its_parent(self) -> None:
        tape = self.tape(NOWHERE)
        tape.publish(mark(0))
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                tape.publish(mark(1))
            except tapedeck.SpoolError:
                os.write(write, b"refused")
            signal.pause()
        self.addCleanup(os.waitpid, child, 0)
        self.addCleanup(os.kill, child, signal.SIGKILL)
        self.assertEqual(os.read(read, 10), b"refused")
        tape.close(0)
        self.assertEqual(self.open().pending, 1)  # although the child lives

    def test_the_command_drains(self) -> None:
        tape = self.tape(NOWHERE)
        tape.publish_many([mark(0), mark(1, rule="no")])
        tape.close(0)
        ingest = self.ingest()

        def run(*arguments: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [sys.executable, "-m", "tapedeck", *arguments], cwd=HERE, capture_output=True, text=True, timeout=60, check=False
            )

        drained = run("drain", str(self.spool), "--url", ingest.url, "--session-policy", "flag")
        self.assertEqual(ingest.requests[0][0], "/v1/events?session_policy=flag")
        self.assertEqual((drained.returncode, drained.stdout), (1, "0 waiting, 1 refused\n"), drained.stderr)
        rejects = run("rejects", str(self.spool))
        self.assertEqual((rejects.returncode, json.loads(rejects.stdout)["rule"]), (1, "no"))
        for command in ("drain", "rejects", "retry"):
            mistyped = run(command, str(self.spool) + "s")
            self.assertEqual((mistyped.returncode, mistyped.stdout), (2, ""))
            self.assertIn("there is no spool in", mistyped.stderr)
        self.assertFalse(os.path.exists(str(self.spool) + "s"))
        with tapedeck.Tape(NOWHERE, self.spool):
            self.assertEqual(run("drain", str(self.spool)).returncode, 3)


if __name__ == "__main__":
    unittest.main()
