#!/usr/bin/env python3
"""Verifies the chain of an audit log without Standfast: audit-verify.py FILE... (oldest first).

It shows edited, removed, inserted and reordered records. It does not look at checkpoints' signatures: `standfast audit verify` does.
"""
import hashlib
import re
import sys

RECORD = re.compile(rb'(\{"seq":([1-9][0-9]*),.*"prev":"([0-9a-f]{64})"),"hash":"([0-9a-f]{64})"\}', re.DOTALL)


def main(names):
    before, wrong, records = None, 0, 0
    for name in names:
        lines = open(name, "rb").read().split(b"\n")
        for number, line in enumerate(lines, 1):
            if not line and number == len(lines):
                continue
            found = RECORD.fullmatch(line)
            problem = None
            if not found:
                problem = None if number == len(lines) and name == names[-1] else "no record"
                print("%s:%d: the last line is torn" % (name, number)) if problem is None else None
            else:
                signed, seq, prev, stated = found[1], int(found[2]), found[3].decode(), found[4].decode()
                records += 1
                if hashlib.sha256(b"standfast-audit-v1\n" + bytes.fromhex(prev) + signed).hexdigest() != stated:
                    problem = "record %d was edited" % seq
                elif before and (seq != before[0] + 1 or prev != before[1]):
                    problem = "record %d does not continue record %d" % (seq, before[0])
                before = seq, stated
            if problem:
                wrong += 1
                print("%s:%d: %s" % (name, number, problem))
    print("%d records, %d wrong; the end is %d:%s" % (records, wrong, *(before or (0, "0" * 64))))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]) if sys.argv[1:] else __doc__)
