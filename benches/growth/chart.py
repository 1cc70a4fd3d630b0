"""A picture of several panels with logarithmic axes, as SVG that follows the reader's light or dark setting."""

import math

COLOURS = (("#1f6fb4", "#6cb0ee"), ("#16855b", "#5cc79b"), ("#d1560a", "#f5935a"))
PANEL, LEFT, RIGHT, TOP, BOTTOM, HEAD = (400, 270), 62, 18, 34, 44, 64
UNITS = ((1, "s"), (1e-3, "ms"), (1e-6, "µs"))


def picture(title, subtitle, legend, panels):
    """`panels` are (title, label of x, sizes, power of the size that cost is proportional to, series of
    seconds), two in a row; a dashed line shows how the first series would fall in proportion."""
    rows = (len(panels) + 1) // 2
    width, height = 2 * PANEL[0], HEAD + rows * PANEL[1]
    inks = lambda dark: "".join(f"--s{i}:{c[dark]};" for i, c in enumerate(COLOURS))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">',
        f"<title>{title}</title>",
        f"<style>svg{{--paper:#fff;--text:#1c1c1e;--soft:#5f6368;--grid:#e4e6e9;{inks(0)}"
        "font-family:system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif}"
        f"@media(prefers-color-scheme:dark){{svg{{--paper:#17181b;--text:#f1f2f4;--soft:#a9adb3;--grid:#33363b;{inks(1)}}}}}</style>",
        f'<rect width="{width}" height="{height}" fill="var(--paper)"/>',
        _text(LEFT, 26, title, 16), _text(LEFT, 46, subtitle, 12, "soft"),
    ]
    x = width - RIGHT - sum(26 + 7 * len(name) for name in legend)
    for i, name in enumerate(legend):
        parts += [f'<circle cx="{x}" cy="22" r="4.5" fill="var(--s{i})"/>', _text(x + 10, 26, name, 12)]
        x += 26 + 7 * len(name)
    for i, panel in enumerate(panels):
        parts += _panel(i % 2 * PANEL[0], HEAD + i // 2 * PANEL[1], *panel)
    return "\n".join(parts) + "\n</svg>\n"


def _panel(x0, y0, title, label, sizes, cost_power, series):
    left, right, top, bottom = x0 + LEFT, x0 + PANEL[0] - RIGHT, y0 + TOP, y0 + PANEL[1] - BOTTOM
    every = [t for times in series for t in times]
    low, high = math.floor(math.log10(min(every))), math.ceil(math.log10(max(every)))
    span = math.log(sizes[-1] / sizes[0])
    px = lambda size: left + (right - left) * math.log(size / sizes[0]) / span
    py = lambda seconds: bottom - (bottom - top) * (math.log10(seconds) - low) / (high - low)
    parts = [_text(left, y0 + 18, title, 13)]
    for decade in range(low, high + 1):
        y = py(10.0**decade)
        parts += [_path([(left, y), (right, y)], "soft" if decade == low else "grid", 1),
                  _text(left - 8, y + 4, _seconds(10.0**decade), 11, "soft", "end")]
    room = -math.inf
    for size in sizes:
        x = px(size)
        parts.append(_path([(x, bottom), (x, bottom + 4)], "soft", 1))
        if x - room > 26:
            parts.append(_text(x, bottom + 17, f"{size}", 11, "soft", "middle"))
            room = x
    parts.append(_text((left + right) / 2, bottom + 34, label, 11, "soft", "middle"))
    proportional = [series[0][-1] * (size / sizes[-1]) ** cost_power for size in sizes]
    shown = [(px(s), py(t)) for s, t in zip(sizes, proportional) if t >= 10.0**low]
    parts.append(_path(shown, "soft", 1, ' stroke-dasharray="3 4"'))
    for i, times in enumerate(series):
        points = [(px(s), py(t)) for s, t in zip(sizes, times, strict=True)]
        parts.append(_path(points, f"s{i}", 2))
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="var(--s{i})"/>' for x, y in points]
    return parts


def _seconds(value):
    unit, name = next((u, n) for u, n in UNITS if value >= u * 0.999)
    return f"{value / unit:.0f} {name}"


def _path(points, ink, width, more=""):
    line = "".join(f"{'L' if i else 'M'}{x:.1f} {y:.1f}" for i, (x, y) in enumerate(points))
    return f'<path d="{line}" fill="none" stroke="var(--{ink})" stroke-width="{width}" stroke-linejoin="round"{more}/>'


def _text(x, y, text, size, ink="text", anchor="start"):
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="var(--{ink})">{text}</text>'
