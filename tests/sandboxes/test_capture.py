"""Output without end is held within bounds."""

from hypothesis import given
from hypothesis import strategies as st

from rlmbox.sandboxes._capture import BoundedText


@given(st.lists(st.text(max_size=12), max_size=12), st.integers(0, 50))
def test_head_and_tail_are_kept_and_the_rest_is_counted(writes: list[str], max_chars: int) -> None:
    whole = "".join(writes)
    bounded = BoundedText(max_chars)
    for text in writes:
        bounded.write(text)
    head, tail = max_chars - max_chars // 2, max_chars // 2
    assert bounded.total_chars == len(whole)
    assert bounded.dropped_chars == max(len(whole) - max_chars, 0)
    if len(whole) <= max_chars:
        assert bounded.text() == whole
    else:
        assert bounded.text().startswith(whole[:head] + "\n... [")
        assert bounded.text().endswith("] ...\n" + (whole[-tail:] if tail else ""))
