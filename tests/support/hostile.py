"""Texts that want to be more than text."""

#: What a service, or somebody who names an instance, may send.
HOSTILE = (
    "<script>alert(1)</script>",
    "</text></svg><img src=x onerror=alert(1)>",
    "'; DROP TABLE backups; --",
    '=HYPERLINK("http://evil.example","click")',
    "{{7*7}}{% raw %}${1+1}",
    "abc\u202edcba\u200b",
    "\x1b[31mred\x1b[0m",
    "line\nbreak\ttab\x00nul",
    '" onmouseover="alert(1)',
    "&lt;b&gt; &amp;",
)

#: Names without a place to break a line.
LONG_WORDS = (
    "W" * 200,
    "👩‍👩‍👧‍👦" * 40,
    "مرحبا" * 40,
    "备份" * 80,
    "a_b.c/d:e@" * 30,
    "\u00a0x" * 90,
)
