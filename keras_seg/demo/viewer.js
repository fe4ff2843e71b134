// <segmentation-viewer>: a photo under the colours of its mask, an opacity slider, the
// class under the pointer, and a legend of the classes that occur.
//
// Needs nothing but a browser. Everything is in a shadow tree, so that no style of the
// page reaches it; text has the colour and the font of the page.

class SegmentationViewer extends HTMLElement {
  static IGNORED = 255;

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    root.innerHTML = SegmentationViewer.HTML;
    for (const part of ["stage", "photo", "colors", "hint", "controls", "legend"]) {
      this[`_${part}`] = root.querySelector(`.${part}`);
    }
    this._slider = root.querySelector("input");
    this._value = root.querySelector("output");
    this._slider.addEventListener("input", () => this._setOpacity());
    for (const event of ["pointermove", "pointerdown"]) {
      this._stage.addEventListener(event, (e) => this._point(e));
    }
    this._stage.addEventListener("pointerleave", (e) => {
      // A finger leaves when it is lifted: what it pointed at stays named.
      this._hint.hidden ||= e.pointerType === "mouse";
    });
    this._setOpacity();
  }

  // photo: an ImageBitmap or a canvas, as large as the mask or larger.
  // ids: Uint8Array of width * height class ids, row by row.
  // names, colors: of each class; colors are [red, green, blue] in 0..255.
  // Class 0 shows the photo as it is.
  show({ photo, ids, width, height, names, colors }) {
    Object.assign(this, { ids, width, height, names, colors });
    Object.assign(this._colors, { width, height });
    this._draw(photo);
    this._stage.style.setProperty("--ratio", width / height);
    this._paint((id) => id !== 0);
    this._list();
    this._stage.hidden = this._controls.hidden = false;
    this._hint.hidden = true;
  }

  // The same, of files: photo and mask are URLs, the mask a grey PNG of ids.
  async showFiles({ photo, mask, ...rest }) {
    const [image, pixels] = await Promise.all([photo, mask].map(SegmentationViewer.load));
    const { width, height } = pixels;
    const canvas = Object.assign(document.createElement("canvas"), { width, height });
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(pixels, 0, 0);
    const grey = context.getImageData(0, 0, width, height).data;
    const ids = Uint8Array.from({ length: width * height }, (_, k) => grey[4 * k]);
    this.show({ photo: image, ids, width, height, ...rest });
  }

  static async load(url) {
    const blob = await (await fetch(url)).blob();
    // As the file has them: ids must not be converted to the colours of a screen.
    return createImageBitmap(blob, { colorSpaceConversion: "none" });
  }

  nameOf(id) {
    const other = id === SegmentationViewer.IGNORED ? "ignored" : `class ${id}`;
    return this.names?.[id] ?? other;
  }

  colorOf(id) {
    return this.colors?.[id] ?? [224, 224, 192];
  }

  _draw(photo) {
    const factor = Math.min(1, 2048 / Math.max(photo.width, photo.height));
    const [width, height] = [photo.width, photo.height].map((n) => Math.ceil(n * factor));
    Object.assign(this._photo, { width, height });
    const context = this._photo.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(photo, 0, 0, width, height);
  }

  _paint(isShown) {
    const context = this._colors.getContext("2d", { willReadFrequently: true });
    const pixels = context.createImageData(this.width, this.height);
    const table = Array.from({ length: 256 }, (_, id) =>
      isShown(id) ? [...this.colorOf(id), 255] : [0, 0, 0, 0]
    );
    this.ids.forEach((id, k) => pixels.data.set(table[id], 4 * k));
    context.putImageData(pixels, 0, 0);
  }

  _list() {
    const counts = new Uint32Array(256);
    for (const id of this.ids) counts[id] += 1;
    const found = [...counts.keys()].filter((id) => counts[id]);
    found.sort((a, b) => counts[b] - counts[a]);
    this._legend.replaceChildren(
      ...found.map((id) => this._entry(id, counts[id] / this.ids.length))
    );
  }

  // A class in the legend; while it is pointed at, the photo shows its colour alone.
  _entry(id, share) {
    const [entry, chip, name, percent] = ["button", "i", "span", "b"].map((tag) =>
      document.createElement(tag)
    );
    entry.type = "button";
    chip.style.background = `rgb(${this.colorOf(id)})`;
    name.textContent = this.nameOf(id);
    percent.textContent = share < 0.001 ? "< 0.1 %" : `${(100 * share).toFixed(1)} %`;
    entry.append(chip, name, percent);
    for (const event of ["pointerenter", "focus"]) {
      entry.addEventListener(event, () => this._paint((other) => other === id));
    }
    for (const event of ["pointerleave", "blur"]) {
      entry.addEventListener(event, () => this._paint((other) => other !== 0));
    }
    return entry;
  }

  _setOpacity() {
    this._colors.style.opacity = this._slider.value / 100;
    this._value.textContent = `${this._slider.value} %`;
  }

  _point(event) {
    const box = this._colors.getBoundingClientRect();
    const x = Math.floor(((event.clientX - box.left) / box.width) * this.width);
    const y = Math.floor(((event.clientY - box.top) / box.height) * this.height);
    const inside = x >= 0 && y >= 0 && x < this.width && y < this.height;
    this._hint.hidden = !inside;
    if (!inside) return;
    const id = this.ids[y * this.width + x];
    const chip = document.createElement("i");
    chip.style.background = `rgb(${this.colorOf(id)})`;
    this._hint.replaceChildren(chip, this.nameOf(id));
    // Beside the pointer, on the side where there is room.
    const [left, top] = [event.clientX - box.left, event.clientY - box.top];
    const toLeft = left > box.width / 2 ? "calc(-100% - 14px)" : "14px";
    const up = top > 48 ? "calc(-100% - 8px)" : "16px";
    this._hint.style.transform = `translate(${left}px, ${top}px) translate(${toLeft}, ${up})`;
  }

  static HTML = `
    <style>
      :host { display: block; color: inherit; font: inherit; }
      [hidden] { display: none !important; }
      .stage { position: relative; cursor: crosshair; overflow: hidden; margin: 0 auto;
        aspect-ratio: var(--ratio); max-width: calc(75vh * var(--ratio));
        border-radius: 10px; touch-action: pan-y pinch-zoom; }
      canvas { position: absolute; inset: 0; width: 100%; height: 100%; }
      .colors { image-rendering: pixelated; }
      .hint { position: absolute; top: 0; left: 0; padding: 4px 10px; border-radius: 8px;
        background: rgb(20 20 24 / 88%); color: #fff; pointer-events: none;
        font-size: 14px; line-height: 20px; max-width: 45%; overflow-wrap: anywhere; }
      i { display: inline-block; flex: none; width: 13px; height: 13px; margin-right: 7px;
        border-radius: 4px; vertical-align: -2px; box-shadow: 0 0 0 1px rgb(128 128 128 / 55%); }
      label { display: flex; align-items: center; gap: 12px; margin: 14px 0 10px; }
      input { flex: 1; min-width: 0; height: 28px; margin: 0; accent-color: #3b76d6; }
      output { min-width: 3.4em; text-align: right; font-variant-numeric: tabular-nums; }
      .legend { display: flex; flex-wrap: wrap; gap: 6px; }
      button { display: flex; align-items: center; max-width: 100%; padding: 6px 10px;
        font: inherit; color: inherit; text-align: left; cursor: pointer; background: none;
        border: 1px solid color-mix(in srgb, currentColor 22%, transparent); border-radius: 8px; }
      button:hover, button:focus-visible { outline: 2px solid #3b76d6; outline-offset: -1px; }
      button span { min-width: 0; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
      button b { margin-left: 8px; font-weight: 400; opacity: .75; white-space: nowrap;
        font-variant-numeric: tabular-nums; }
    </style>
    <div class="stage" hidden>
      <canvas class="photo"></canvas><canvas class="colors"></canvas>
      <div class="hint" hidden></div>
    </div>
    <div class="controls" hidden>
      <label>Opacity <input type="range" min="0" max="100" value="60"><output></output></label>
      <div class="legend"></div>
    </div>`;
}

customElements.define("segmentation-viewer", SegmentationViewer);
