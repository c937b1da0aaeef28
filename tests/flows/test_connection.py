"""What a server tells in pages."""

from flows.connection import every


def test_all_pages_are_read_whatever_their_length():
    there, asked = list("abcde"), []

    def read(*, deployment_filter, sort, offset):
        asked.append((deployment_filter, sort, offset))
        return there[offset : offset + 2]

    assert list(every(read, deployment_filter="ours")) == there
    assert asked == [("ours", "CREATED_DESC", offset) for offset in (0, 2, 4, 5)]
