// Runs a model that `keras-seg export --format onnx` wrote, in this page.

const status = document.querySelector("#status");
const viewer = document.querySelector("segmentation-viewer");
const side = document.querySelector("#side");
let model = null; // { session, names, colors, shape, bands }
let photo = null; // ImageBitmap

// Threads need two headers that `python -m http.server` doesn't send.
ort.env.wasm.numThreads = globalThis.crossOriginIsolated ? navigator.hardwareConcurrency : 1;
ort.env.wasm.proxy = true; // in a worker, so that the page answers meanwhile

async function openModel(name, bytes) {
  say(`Loading ${name} ...`);
  const about = metadata(bytes); // read before the bytes go to the worker
  const session = await ort.InferenceSession.create(bytes).catch((error) => {
    throw new Error(`Expected an ONNX file. Received: ${name} (${error.message ?? error})`);
  });
  const shape = session.inputMetadata[0].shape.map((n) => (n > 0 ? Number(n) : null));
  const parsed = (key) => JSON.parse(about[key] ?? "null") ?? undefined;
  const bands = parsed("bands"); // of red, green and blue
  const shows = bands ? Math.max(...bands) < 3 : [1, 3].includes(shape[3]);
  if (!shows || !session.outputNames.includes("mask")) {
    throw new Error("Expected a model that keras-seg exported, of colour or grey images.");
  }
  await model?.session.release();
  model = { session, shape, bands, names: parsed("class_names"), colors: parsed("palette") };
  document.querySelector("#model-name").textContent = name;
  side.disabled = shape[1] !== null && shape[2] !== null;
  say("Ready. Choose a photo.");
  await predict();
}

// The texts that an ONNX file holds about itself, which ONNX Runtime for the web keeps
// to itself: ModelProto's field 14, metadata_props, of (1: key, 2: value).
function metadata(bytes) {
  const found = {};
  const text = new TextDecoder();
  for (const [field, entry] of fields(bytes)) {
    if (field !== 14) continue;
    const pair = Object.fromEntries(fields(entry));
    found[text.decode(pair[1])] = text.decode(pair[2]);
  }
  return found;
}

// (number, bytes) of each field of a protocol buffer that has a length.
function* fields(bytes) {
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = bytes[at++];
      value += (byte & 127) * scale;
      if (!(byte & 128)) return value;
    }
  };
  while (at < bytes.length) {
    const tag = varint();
    const kind = tag & 7;
    if (kind === 0) varint();
    else if (kind === 1) at += 8;
    else if (kind === 5) at += 4;
    else if (kind === 2) {
      const length = varint();
      yield [tag >>> 3, bytes.subarray(at, (at += length))];
    } else return; // no protocol buffer: ONNX Runtime says so
  }
}

// Width and height at which the photo goes through the model, and those of its input:
// larger where the model has one size. The rest is black, at the right and the bottom.
function sizes() {
  const [, height, width] = model.shape;
  const most = Number(side.value);
  const [right, bottom] = [width ?? most, height ?? most];
  const factor = Math.min(1, right / photo.width, bottom / photo.height);
  const w = Math.max(1, Math.round(photo.width * factor));
  const h = Math.max(1, Math.round(photo.height * factor));
  return [w, h, width ?? w, height ?? h];
}

// Pixels of a canvas as the model takes them: uint8 [1, height, width, channels].
function input(canvas) {
  const { width, height } = canvas;
  const rgba = canvas.getContext("2d").getImageData(0, 0, width, height).data;
  const channels = model.shape[3];
  const pixels = new Uint8Array(width * height * channels);
  for (let k = 0, at = 0; k < rgba.length; k += 4) {
    if (channels === 1 && !model.bands) {
      pixels[at++] = Math.round(0.299 * rgba[k] + 0.587 * rgba[k + 1] + 0.114 * rgba[k + 2]);
    } else {
      for (const c of model.bands ?? [0, 1, 2]) pixels[at++] = rgba[k + c];
    }
  }
  return new ort.Tensor("uint8", pixels, [1, height, width, channels]);
}

async function predict() {
  if (!model || !photo) return;
  say("Predicting ...");
  const [width, height, right, bottom] = sizes();
  const canvas = Object.assign(document.createElement("canvas"), { width: right, height: bottom });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillRect(0, 0, right, bottom);
  context.imageSmoothingQuality = "high";
  context.drawImage(photo, 0, 0, width, height);
  const feeds = { image: input(canvas) };
  const begin = performance.now();
  const { mask } = await model.session.run(feeds, ["mask"]);
  const seconds = ((performance.now() - begin) / 1000).toFixed(2);
  const ids = new Uint8Array(width * height);
  for (let y = 0; y < height; y++) {
    ids.set(mask.data.subarray(y * right, y * right + width), y * width);
  }
  viewer.show({ photo, ids, width, height, names: model.names, colors: model.colors });
  viewer.classList.add("filled");
  say(`${width} x ${height} pixels, predicted in ${seconds}\u00a0s`);
}

function say(text, isError = false) {
  status.textContent = text;
  status.classList.toggle("error", isError);
}

// One thing after the other; what goes wrong is said on the page.
let queue = Promise.resolve();
function then(work) {
  queue = queue.then(work).catch((error) => say(error.message ?? String(error), true));
}

function take(file) {
  then(async () => {
    if (file.name.endsWith(".onnx")) {
      return openModel(file.name, new Uint8Array(await file.arrayBuffer()));
    }
    photo = await createImageBitmap(file).catch(() => {
      throw new Error(`Expected a photo or an .onnx file. Received: ${file.name}`);
    });
    if (!model) say("Now choose a model, an .onnx file.");
    await predict();
  });
}

for (const id of ["#photo", "#model"]) {
  document.querySelector(id).addEventListener("change", ({ target }) => {
    [...target.files].forEach(take);
    target.value = ""; // the same file may be chosen again
  });
}
side.addEventListener("change", () => then(predict));
for (const name of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    document.body.classList.toggle("over", name === "dragover");
    if (name === "drop") [...event.dataTransfer.files].forEach(take);
  });
}

// The model beside this page, or the one of ?model=...
then(async () => {
  const url = new URLSearchParams(location.search).get("model") ?? "model.onnx";
  const response = await fetch(url).catch(() => ({ ok: false }));
  if (!response.ok) return say("Choose a model, an .onnx file, and a photo.");
  await openModel(url.split("/").pop(), new Uint8Array(await response.arrayBuffer()));
});
