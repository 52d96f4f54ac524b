"""What counts as a command of a page."""

from commands import spans, typed_lines

PAGE = """
`hdkd export` makes a file, `hdkd
export --output folder` in a folder, `folder/` is one, `X=1 make all` has a variable.

```
hdkd borrow --state   # the state
# nothing but a comment
hdkd pack \\
  --profile paper
echo 'a#b'
```

```yaml
- make all
```

1. In a list:
   ```bash
   make test
   ```
"""


def test_lines_of_blocks_for_a_shell_are_commands():
    assert typed_lines(PAGE) == [
        "hdkd borrow --state", "hdkd pack --profile paper", "echo 'a#b'", "make test",
    ]  # fmt: skip


def test_code_in_sentences_is_a_command_where_it_begins_with_a_program():
    assert spans(PAGE) == ["hdkd export", "hdkd export --output folder", "X=1 make all"]
