// What an eye would see of a page in a window of that width, as figures; on paper there are no backgrounds.
// Evaluates to a function. Colours are [red, green, blue, opacity].
(({ width, paper }) => {
  const SHAPES = "path, rect, circle, ellipse, line, polyline, polygon, use, image";
  const NOT_DRAWN = "defs, clipPath, mask, pattern, symbol, marker";

  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const known = new Map();
  const colour = (text) => {
    if (!known.has(text)) {
      canvas.clearRect(0, 0, 1, 1);
      canvas.fillStyle = text;
      canvas.fillRect(0, 0, 1, 1);
      const [red, green, blue, alpha] = canvas.getImageData(0, 0, 1, 1).data;
      known.set(text, [red, green, blue, alpha / 255]);
    }
    return known.get(text);
  };
  const over = (top, under) => [0, 1, 2].map((place) => top[place] * top[3] + under[place] * (1 - top[3])).concat(1);
  const faded = (colour, opacity) => [...colour.slice(0, 3), colour[3] * opacity];

  // WCAG 2.2, relative luminance and contrast ratio.
  const luminance = (colour) => {
    const [red, green, blue] = colour.slice(0, 3).map((value) => {
      const share = value / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const contrast = (one, other) => {
    const [dark, light] = [luminance(one), luminance(other)].sort((a, b) => a - b);
    return (light + 0.05) / (dark + 0.05);
  };

  const opacity = (element, top) => {
    let share = 1;
    for (let one = element; one && one !== top; one = one.parentElement) share *= Number(getComputedStyle(one).opacity);
    return share;
  };
  // Printers are not asked for backgrounds: on paper all that lies behind the words is white.
  const ground = (element) => {
    const layers = [];
    for (let one = element; one && !paper; one = one.parentElement) {
      layers.push(colour(getComputedStyle(one).backgroundColor));
    }
    const screen = matchMedia("(prefers-color-scheme: dark)").matches && !paper ? [18, 18, 18, 1] : [255, 255, 255, 1];
    return layers.reverse().reduce((under, top) => over(top, under), screen);
  };

  const painted = (shape) => {
    const style = getComputedStyle(shape);
    const paints = [];
    if (style.fill !== "none") paints.push(faded(colour(style.fill), Number(style.fillOpacity)));
    if (style.stroke !== "none" && parseFloat(style.strokeWidth) > 0) {
      paints.push(faded(colour(style.stroke), Number(style.strokeOpacity)));
    }
    return paints;
  };
  const meets = (one, other) =>
    one.right >= other.left && one.left <= other.right && one.bottom >= other.top && one.top <= other.bottom;
  const within = (one, { left, right, top, bottom }) =>
    one.left >= left - 1 && one.right <= right + 1 && one.top >= top - 1 && one.bottom <= bottom + 1;
  const drawn = (svg) => [...svg.querySelectorAll(SHAPES)].filter((shape) => !shape.closest(NOT_DRAWN));

  // Behind a word in a picture: the page, then each filled shape that was drawn before it and lies there.
  const behind = (word, x, y) => {
    const svg = word.closest("svg");
    let under = ground(svg);
    for (const shape of drawn(svg)) {
      if (!(shape.compareDocumentPosition(word) & Node.DOCUMENT_POSITION_FOLLOWING)) break;
      const style = getComputedStyle(shape);
      if (style.fill === "none" || !shape.isPointInFill) continue;
      const place = new DOMPoint(x, y).matrixTransform(shape.getScreenCTM().inverse());
      const share = Number(style.fillOpacity) * opacity(shape, svg);
      if (shape.isPointInFill(place)) under = over(faded(colour(style.fill), share), under);
    }
    return under;
  };

  const words = () => {
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const found = [];
    while (walker.nextNode()) {
      const element = walker.currentNode.parentElement;
      const text = walker.currentNode.textContent.trim();
      if (!text || element.closest("title, desc, style, script")) continue;
      if (!element.checkVisibility({ visibilityProperty: true })) continue;
      const range = document.createRange();
      range.selectNodeContents(walker.currentNode);
      const box = element.ownerSVGElement ? element.getBoundingClientRect() : range.getBoundingClientRect();
      if (box.width > 0 && box.height > 0) found.push({ element, text, box });
    }
    return found;
  };

  const faint = () => {
    const found = [];
    for (const { element, text, box } of words()) {
      const style = getComputedStyle(element);
      const inPicture = Boolean(element.ownerSVGElement);
      const y = (box.top + box.bottom) / 2;
      const grounds = inPicture
        ? [0.1, 0.5, 0.9].map((share) => behind(element, box.left + share * box.width, y))
        : [ground(element)];
      const ink = faded(colour(inPicture ? style.fill : style.color), opacity(element, null));
      const ratio = Math.min(...grounds.map((under) => contrast(over(ink, under), under)));
      const size = parseFloat(style.fontSize);
      const large = !inPicture && (size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700));
      if (ratio < (large ? 3 : 4.5)) found.push(`${text.slice(0, 60)}: ${ratio.toFixed(2)}`);
    }
    return found;
  };

  const inOwnBox = (element) => {
    for (let one = element.parentElement; one && one !== document.body; one = one.parentElement) {
      if (["auto", "scroll", "hidden", "clip"].includes(getComputedStyle(one).overflowX)) return true;
    }
    return false;
  };
  const stickingOut = () =>
    [...document.body.querySelectorAll("*")]
      .filter((element) => !element.ownerSVGElement && element.checkVisibility() && !inOwnBox(element))
      .filter((element) => element.getBoundingClientRect().right > width + 0.5)
      .map((element) => `${element.tagName.toLowerCase()}: ${element.textContent.trim().slice(0, 40)}`);

  const crossing = (texts) => {
    const boxes = texts.map((text) => text.getBoundingClientRect());
    const found = [];
    for (let one = 0; one < boxes.length; one++) {
      for (let other = one + 1; other < boxes.length; other++) {
        const across = Math.min(boxes[one].right, boxes[other].right) - Math.max(boxes[one].left, boxes[other].left);
        const down = Math.min(boxes[one].bottom, boxes[other].bottom) - Math.max(boxes[one].top, boxes[other].top);
        // A line's box is taller than its letters.
        if (across > 1 && down > 0.3 * Math.min(boxes[one].height, boxes[other].height)) {
          found.push(`${texts[one].textContent.trim()} / ${texts[other].textContent.trim()}`);
        }
      }
    }
    return found;
  };

  const letters = (text) => {
    const { a, b } = text.getScreenCTM();
    return parseFloat(getComputedStyle(text).fontSize) * Math.hypot(a, b);
  };
  const charts = () => {
    const root = getComputedStyle(document.documentElement);
    const axes = ["--grid", "--muted"].map((name) => String(colour(root.getPropertyValue(name).trim()).slice(0, 3)));
    return [...document.querySelectorAll("svg")].map((svg) => {
      const box = svg.getBoundingClientRect();
      const texts = [...svg.querySelectorAll("text")];
      const marks = drawn(svg).filter((shape) => {
        const place = shape.getBoundingClientRect();
        const seen = (place.width > 0 || place.height > 0) && meets(place, box);
        return seen && painted(shape).some((paint) => paint[3] > 0 && !axes.includes(String(paint.slice(0, 3))));
      });
      const outside = texts.filter((text) => !within(text.getBoundingClientRect(), box));
      return {
        title: svg.querySelector("title")?.textContent ?? "",
        section: svg.closest("section")?.id ?? "",
        width: box.width,
        height: box.height,
        marks: marks.length,
        words: texts.length,
        letters: Math.min(...texts.map(letters)),
        cut: outside.map((text) => text.textContent.trim()),
        crossing: crossing(texts),
        rows: svg.closest("figure")?.querySelectorAll("tbody tr").length ?? 0,
      };
    });
  };

  return {
    width: innerWidth,
    filled: document.documentElement.scrollWidth,
    stickingOut: stickingOut(),
    ground: luminance(ground(document.body)),
    charts: charts(),
    faint: faint(),
    words: words().length,
  };
})
