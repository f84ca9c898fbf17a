"""What makes a page hard to use, looked for in the browser itself."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import TimeoutError as PlaywrightTimeout

# Colours as they come out, over all that is behind; disabled controls may be faint.
_CONTRAST = """() => {
  const parse = (text) => {
    const found = text.match(/[\\d.]+/g).map(Number);
    return text.startsWith('color(srgb') ? [...found.slice(0, 3).map((one) => one * 255), found[3] ?? 1]
      : [found[0], found[1], found[2], found[3] ?? 1];
  };
  const over = (top, under) => [0, 1, 2].map((at) => top[at] * top[3] + under[at] * (1 - top[3]));
  const light = (rgb) => {
    const [r, g, b] = rgb.map((one) => {
      const share = one / 255;
      return share <= 0.03928 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    const layers = [];
    for (let one = element; one; one = one.parentElement) {
      const colour = parse(getComputedStyle(one).backgroundColor);
      layers.push(colour);
      if (colour[3] === 1) break;
    }
    return layers.reverse().reduce((under, top) => over(top, under), [255, 255, 255]);
  };
  const faint = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    if (!node.textContent.trim() || element.closest('button:disabled, script, style, .unseen, .skip')) continue;
    if (!element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    const style = getComputedStyle(element);
    const under = behind(element);
    const one = light(over(parse(style.color), under)), other = light(under);
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5)) faint.push(`${ratio.toFixed(2)}: ${node.textContent.trim().slice(0, 60)}`);
  }
  return faint;
}"""

_STRUCTURE = """() => {
  const wrong = [];
  const named = (element) => element.getAttribute('aria-label') || element.labels?.length
    || (element.getAttribute('aria-labelledby') ?? '').split(' ').some((id) => document.getElementById(id));
  for (const one of document.querySelectorAll('input:not([type=hidden]), select, textarea')) {
    if (!named(one)) wrong.push(`no label: ${one.name}`);
  }
  for (const one of document.querySelectorAll('button, a[href], summary')) {
    const text = one.textContent.trim() || one.getAttribute('aria-label');
    if (!text) wrong.push(`no name: ${one.outerHTML.slice(0, 80)}`);
  }
  const ids = [...document.querySelectorAll('[id]')].map((one) => one.id);
  for (const id of new Set(ids.filter((id, at) => ids.indexOf(id) !== at))) wrong.push(`twice: #${id}`);
  for (const name of ['aria-describedby', 'aria-labelledby']) {
    for (const one of document.querySelectorAll(`[${name}]`)) {
      for (const id of one.getAttribute(name).split(' ')) {
        if (!document.getElementById(id)) wrong.push(`${name} leads nowhere: ${id}`);
      }
    }
  }
  const headings = [...document.querySelectorAll('h1, h2, h3, h4')].map((one) => Number(one.tagName[1]));
  if (headings.filter((one) => one === 1).length !== 1) wrong.push(`${headings.length} headings, not one h1`);
  headings.forEach((one, at) => {
    if (at && one > headings[at - 1] + 1) wrong.push(`h${one} after h${headings[at - 1]}`);
  });
  if (!document.documentElement.lang) wrong.push('no language');
  if (document.querySelectorAll('main').length !== 1) wrong.push('not one main');
  if (!document.title.trim()) wrong.push('no title');
  for (const one of document.querySelectorAll('table')) {
    if (!one.caption || !one.querySelector('th[scope]')) wrong.push('a table without caption or heads');
  }
  for (const one of document.querySelectorAll('[tabindex]')) {
    if (Number(one.getAttribute('tabindex')) > 0) wrong.push('a tabindex above 0');
  }
  const width = document.documentElement.scrollWidth;
  if (width > innerWidth) wrong.push(`wider than the window: ${width}`);
  for (const one of document.querySelectorAll('button, .button, select, input:not([type=hidden])')) {
    const box = one.getBoundingClientRect();
    if (one.checkVisibility() && !one.closest('.unseen') && box.height > 0 && box.height < 24) {
      wrong.push(`too small to hit: ${one.textContent || one.name} (${box.height})`);
    }
  }
  return wrong;
}"""


def faults(page: Any) -> list[str]:
    """Labels, names, headings, ids, tables, width, sizes, contrast."""
    found: list[str] = page.evaluate(_STRUCTURE)
    found += [f"contrast {one}" for one in page.evaluate(_CONTRAST)]
    return found


def open_all(page: Any, scope: str) -> None:
    """Unfold what is folded; at once, since a page may put something new in its place at any moment."""
    page.evaluate("(scope) => document.querySelectorAll(`${scope} details`).forEach((one) => (one.open = true))", scope)


def tab_to(page: Any, selector: str, most: int = 120) -> None:
    """Press Tab until the element has the focus, and see that the focus can be seen."""
    for _ in range(most):
        page.keyboard.press("Tab")
        if page.evaluate("(selector) => document.activeElement.matches(selector)", selector):
            try:  # a stylesheet may come a moment after the page
                page.wait_for_function("() => getComputedStyle(document.activeElement).outlineStyle != 'none'")
            except PlaywrightTimeout:
                raise AssertionError(f"{selector} does not show that it has the focus") from None
            return
    raise AssertionError(f"Tab does not lead to {selector}")
