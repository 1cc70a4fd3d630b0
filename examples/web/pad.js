// The drawing board: white ink on black, by pointer or by keyboard.

const STROKE = 21;
const STEP = 10;

export class Pad {
  #canvas;
  #context;
  #changed;
  #from = null;
  #pen = { x: 140, y: 140, down: false, seen: false };
  #ink;
  #drawn = false;

  /** Calls `changed(drawing)` whenever there is new ink, and `changed(null)` when it is cleared. */
  constructor(canvas, changed) {
    this.#canvas = canvas;
    this.#changed = changed;
    this.#context = canvas.getContext("2d");
    this.#ink = document.createElement("canvas");
    [this.#ink.width, this.#ink.height] = [canvas.width, canvas.height];
    this.#show();
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => (this.#from = null));
    canvas.addEventListener("keydown", (event) => this.#key(event));
    for (const turn of ["focus", "blur"]) canvas.addEventListener(turn, () => this.#turn(turn));
  }

  /** Shows a picture in place of a drawing. */
  put(picture) {
    this.#drawn = false;
    this.#erase();
    const context = this.#ink.getContext("2d");
    context.imageSmoothingEnabled = false;
    context.drawImage(picture, 0, 0, this.#ink.width, this.#ink.height);
    this.#show();
  }

  clear() {
    this.#drawn = false;
    this.#erase();
    this.#show();
    this.#changed(null);
  }

  #erase() {
    this.#ink.getContext("2d").clearRect(0, 0, this.#ink.width, this.#ink.height);
  }

  #at(event) {
    const box = this.#canvas.getBoundingClientRect();
    const scale = this.#canvas.width / box.width;
    return { x: (event.clientX - box.left) * scale, y: (event.clientY - box.top) * scale };
  }

  #down(event) {
    if (event.button !== 0) return;
    event.preventDefault();
    this.#canvas.focus({ preventScroll: true });
    this.#canvas.setPointerCapture(event.pointerId);
    this.#pen.seen = false;
    this.#from = this.#at(event);
    this.#line(this.#from, this.#from);
  }

  #move(event) {
    if (!this.#from) return;
    for (const part of event.getCoalescedEvents?.() ?? [event]) {
      const to = this.#at(part);
      this.#line(this.#from, to);
      this.#from = to;
    }
  }

  #line(from, to) {
    if (!this.#drawn) this.#erase();
    this.#drawn = true;
    const context = this.#ink.getContext("2d");
    Object.assign(context, { strokeStyle: "#fff", lineWidth: STROKE, lineCap: "round", lineJoin: "round" });
    context.beginPath();
    context.moveTo(from.x, from.y);
    context.lineTo(to.x + 0.01, to.y);
    context.stroke();
    this.#show();
    this.#changed(this.#ink);
  }

  #turn(turn) {
    this.#pen.down = false;
    this.#pen.seen = turn === "focus" && this.#canvas.matches(":focus-visible");
    this.#show();
  }

  #key(event) {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const pen = this.#pen;
    const from = { ...pen };
    if (event.key in moves) {
      const inside = (v) => Math.min(Math.max(v, STEP), this.#canvas.width - STEP);
      const [dx, dy] = moves[event.key];
      [pen.x, pen.y] = [inside(pen.x + dx * STEP), inside(pen.y + dy * STEP)];
    } else if (event.key === " ") {
      pen.down = !pen.down;
    } else if (event.key === "Delete" || event.key === "Backspace") {
      this.clear();
    } else {
      return;
    }
    event.preventDefault();
    pen.seen = true;
    if (pen.down) this.#line(from, pen);
    this.#show();
  }

  #show() {
    const context = this.#context;
    context.fillStyle = "#000";
    context.fillRect(0, 0, this.#canvas.width, this.#canvas.height);
    context.drawImage(this.#ink, 0, 0);
    if (!this.#pen.seen) return;
    context.beginPath();
    context.arc(this.#pen.x, this.#pen.y, STROKE / 2, 0, 2 * Math.PI);
    Object.assign(context, { strokeStyle: this.#pen.down ? "#ef7d70" : "#7aa7f0", lineWidth: 3 });
    context.stroke();
  }
}
