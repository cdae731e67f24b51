"""Texts that mean something to shells, to `ssh` and to terminals."""

from __future__ import annotations

import random

# What runs, or writes to a file of this name, if a shell reads it as anything but text.
CANARY = "canary"
_COMMANDS = (
    *("touch canary", "touch${IFS}canary", ": >canary", ">canary", "cp /dev/null canary"),
    *("echo x >>canary", "exec touch canary", "eval touch canary", "(touch canary)"),
)
_AROUND = (
    *("$({})", "`{}`", ";{};", "|{}", "||{}", "&&{}", "&{}&", "\n{}\n", "'{}'", '"{}"', "';{};'"),
    *('";{};"', "'\"$({})\"'", "\\';{};\\'", '\\";{};', "';{} #", '";{} #', "\\\n{}", "\r\n{}"),
    *("<({})", ">({})", "${{x:-$({})}}", "$(({}))", "{{{},}}", "!{}", "\\`{}\\`", "'\\'';{};'"),
    *("\\'';{};", "'\\;{};", "\\\\';{};", "({})", ";({})", "{}", "=({})", "\\'\\';{};"),
)
_PIECES = (
    *("-oProxyCommand=touch canary", "-oPermitLocalCommand=yes", "-F/dev/null", "--", "-", "-l"),
    *("$HOME", "${HOME}", "$PATH", "~", "~root", "~/x", "%h", "%%", "%d", "*", "?", "[a-z]*", "!!"),
    *("!$", "!-1", "^a^b", "{a,b}", "a b", "\t", "\n", "\r", "\0", "\x1b[2J", "\x7f", "\b", "\x85"),
    *("'", '"', "`", "\\", "\\\\", "$", "#", ";", "|", "&", "<", ">", "(", ")", "=", ":", ",", "@"),
    *("é", "日本", "\u202e", "\u2028", "\xa0", "\ufeff", "🙂", "e\u0301", "ß", "\udc80", "\ud800"),
    *("x", "abc", "/", "/bin/sh", "../", "localhost", "a=b", "$(", "${", "$'\\n'", "<<E", "2>&1"),
)


def texts(seed, count):
    """Returns so many texts, of which most would do harm to who takes no care.

    Args:
        seed: Of the generator.
        count: How many.
    """
    generator = random.Random(seed)
    return [_text(generator) for _ in range(count)]


def _text(generator):
    pieces = []
    for _ in range(generator.choice([1, 1, 2, 2, 3, 4, 8])):
        if generator.random() < 0.4:
            pieces.append(generator.choice(_AROUND).format(generator.choice(_COMMANDS)))
        elif generator.random() < 0.8:
            pieces.append(generator.choice(_PIECES))
        else:
            pieces.append(chr(generator.choice([generator.randrange(1, 128), 0x20AC, 0x1F600])))
    text = "".join(pieces)
    if generator.random() < 0.01:
        text *= generator.choice([100, 1000]) // max(1, len(text) // 10)
    return text or "'"


def without(texts, characters):
    """Leaves some characters out, so that more of a text is what is not refused."""
    table = {ord(character): None for character in characters}
    return [text.translate(table) or "x" for text in texts]
