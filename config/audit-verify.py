#!/usr/bin/env python3
"""Verifies the chain of an audit log without Standfast: audit-verify.py FILE... (oldest first).

It shows edited, removed, inserted and reordered records. It does not look at checkpoints' signatures: `standfast audit verify` does.
"""
import hashlib
import re
import sys

RECORD = re.compile(rb'(\{"seq":([1-9][0-9]*),.*"prev":"([0-9a-f]{64})"),"hash":"([0-9a-f]{64})"\}', re.DOTALL)
NONE = "0" * 64


def check(record, before):
    """What is wrong with a record (or None) behind this end of the chain (None: nothing was read), and the end behind it."""
    if not record:
        return "no record", before
    signed, seq, prev, stated = record[1], int(record[2]), record[3].decode(), record[4].decode()
    problem = None
    if hashlib.sha256(b"standfast-audit-v1\n" + bytes.fromhex(prev) + signed).hexdigest() != stated:
        problem = "record %d was edited" % seq
    elif before and (seq, prev) != (before[0] + 1, before[1]):
        problem = "record %d does not continue record %d" % (seq, before[0])
    elif seq == 1 and prev != NONE:
        problem = "record 1 does not begin a chain"
    return problem, (seq, stated)


def main(names):
    before, wrong, records = None, 0, 0
    for name in names:
        with open(name, "rb") as file:
            *lines, rest = file.read().split(b"\n")
        for number, line in enumerate(lines + [rest] if rest else lines, 1):
            record = RECORD.fullmatch(line)
            if not record and number > len(lines) and name == names[-1]:
                print("%s:%d: the last line is torn" % (name, number))
                continue
            records += 1 if record else 0
            problem, before = check(record, before)
            if problem:
                wrong += 1
                print("%s:%d: %s" % (name, number, problem))
    print("%d records, %d wrong; the end is %d:%s" % (records, wrong, *(before or (0, NONE))))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]) if sys.argv[1:] else __doc__)
