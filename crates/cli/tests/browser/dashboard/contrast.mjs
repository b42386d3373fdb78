/**
 * Returns the texts of a page whose contrast with their background is below 4.5. Runs in the page.
 */
export function lowContrast() {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colors) => {
    canvas.clearRect(0, 0, 1, 1);
    for (const color of colors) {
      canvas.fillStyle = color;
      canvas.fillRect(0, 0, 1, 1);
    }
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  // Reading a canvas is slow, and most texts have the same colours.
  const known = new Map();
  const luminance = (colors) => {
    const key = colors.join();
    if (!known.has(key)) known.set(key, computed(colors));
    return known.get(key);
  };
  const computed = (colors) => {
    const [r, g, b] = rgba(colors).map((part) => part / 255).map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ancestors = (element) => (element ? [...ancestors(element.parentElement), element] : []);
  const found = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    const text = texts.currentNode.textContent.trim();
    if (text === "" || !element.checkVisibility() || element.closest(".visually-hidden, .skip")) continue;
    const behind = ["white", ...ancestors(element).map((above) => getComputedStyle(above).backgroundColor).filter((color) => color !== "rgba(0, 0, 0, 0)")];
    const [a, b] = [luminance(behind), luminance([...behind, getComputedStyle(element).color])];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) found.push(`${contrast.toFixed(2)} ${text.slice(0, 40)}`);
  }
  return found;
}
