// Small helpers around the document.

/** Make an element: `tag.class.class`, attributes (`text` for its text), children. */
export function make(name, attributes = {}, ...children) {
  const [tag, ...classes] = name.split(".");
  const element = document.createElement(tag);
  if (classes.length > 0) {
    element.className = classes.join(" ");
  }
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "text") {
      element.textContent = value;
    } else if (value !== null && value !== undefined) {
      element.setAttribute(key, value);
    }
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Make an element of a drawing (SVG). */
export function draw(tag, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(attributes)) {
    element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

const SHAPES = {
  good: ["M3.5 8.5 6.5 11.5 12.5 5"],
  warn: ["M8 4.200v4.600", "M8 11.500v.400"],
  bad: ["M5 5l6 6", "M11 5l-6 6"],
  wait: ["M8 4.500V8l2.200 1.600"],
};

/** A sign whose form, not only its colour, says what is meant: good, warn, bad or wait. */
export function sign(kind) {
  const holder = make("span.sign", { "data-kind": kind, "aria-hidden": "true" });
  holder.append(drawing(kind));
  return holder;
}

function drawing(kind) {
  return draw("svg", { viewBox: "0 0 16 16" }, ...SHAPES[kind].map((d) => draw("path", { d })));
}

export function setSign(holder, kind) {
  if (holder.dataset.kind !== kind) {
    holder.dataset.kind = kind;
    holder.replaceChildren(drawing(kind));
  }
}

export function setText(element, text) {
  if (element.shown !== text) {
    element.shown = text;
    element.textContent = text;
  }
}

export function setAttribute(element, name, value) {
  if (value === null) {
    if (element.hasAttribute(name)) {
      element.removeAttribute(name);
    }
  } else if (element.getAttribute(name) !== value) {
    element.setAttribute(name, value);
  }
}

/** Bring the children of `parent` into the order of `wanted`, with few moves; the focus stays where it is. */
export function arrange(parent, wanted) {
  const keep = new Set(wanted);
  for (const child of [...parent.children]) {
    if (!keep.has(child)) {
      child.remove();
    }
  }
  const focused = parent.contains(document.activeElement) ? document.activeElement : null;
  const place = new Map(wanted.map((element, index) => [element, index]));
  let next = parent.firstElementChild;
  for (const [index, element] of wanted.entries()) {
    if (element === next) {
      next = next.nextElementSibling;
      continue;
    }
    // One that only has to go further down is moved out of the way, rather than all that follow it moved up.
    while (next !== null && next !== element && next.nextElementSibling === element && place.get(next) > index + 1) {
      const late = next;
      next = next.nextElementSibling;
      parent.append(late);
    }
    if (element === next) {
      next = next.nextElementSibling;
    } else {
      parent.insertBefore(element, next);
    }
  }
  if (focused && document.activeElement !== focused) {
    focused.focus({ preventScroll: true });
  }
}
