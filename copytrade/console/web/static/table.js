// A table of any length: only the rows on the screen exist, in place over an empty space of the right height.
import { el } from "./ui.js";

const SPARE = 6; // rows above and below the screen, so that a quick scroll shows no gap

export class Table {
  // columns: {name, title, cell(row) -> node or text, sort(row)?, cls?}; key(row) -> string; wide and phone are grid
  // templates (on a phone, columns with cls "wide-only" are not there).
  constructor(place, { columns, key, wide, phone, empty, rowClass, order }) {
    Object.assign(this, { columns, key, empty, rowClass });
    this.rows = new Map();
    this.shown = [];
    this.live = new Map();
    this.filter = () => true;
    this.sorted = order || null; // [name, 1 or -1]
    this.root = el("div", { class: "vt", role: "table" });
    this.root.style.setProperty("--columns", wide);
    this.root.style.setProperty("--columns-phone", phone);
    this.head = el("div", { class: "vt-head", role: "row" });
    for (const column of columns) {
      const title = column.sort
        ? el("button", { type: "button", onclick: () => this.sortBy(column.name) }, column.title)
        : column.title;
      this.head.append(el("div", { class: column.cls || "", role: "columnheader", "data-name": column.name }, title));
    }
    this.body = el("div", { class: "vt-body", role: "rowgroup" });
    this.nothing = el("div", { class: "vt-empty" }, "Loading…");
    this.root.append(this.head, this.body, this.nothing);
    place.replaceChildren(this.root);
    this.draw = this.draw.bind(this);
    addEventListener("scroll", () => this.later(), { passive: true });
    addEventListener("resize", () => this.later());
    this.mark();
  }

  replace(rows) {
    this.rows = new Map(rows.map((row) => [this.key(row), row]));
    this.arrange();
  }

  update(rows, gone = []) {
    let moved = gone.length > 0;
    for (const key of gone) this.rows.delete(key);
    for (const row of rows) {
      const key = this.key(row);
      moved = moved || !this.rows.has(key) || this.sorted !== null || this.filtering;
      this.rows.set(key, row);
      this.live.get(key)?.remove();
      this.live.delete(key);
    }
    if (moved) {
      this.arrange();
    } else {
      this.shown = this.shown.map((row) => this.rows.get(this.key(row)));
      this.later();
    }
  }

  show(filter) {
    this.filter = filter;
    this.filtering = true;
    this.arrange();
  }

  sortBy(name) {
    const [now, way] = this.sorted || [null, 1];
    this.sorted = now === name ? (way === 1 ? [name, -1] : null) : [name, 1];
    this.mark();
    this.arrange();
  }

  mark() {
    for (const cell of this.head.children) {
      const [name, way] = this.sorted || [];
      if (cell.dataset.name === name) cell.setAttribute("aria-sort", way === 1 ? "ascending" : "descending");
      else cell.removeAttribute("aria-sort");
    }
  }

  arrange() {
    let shown = [...this.rows.values()].filter(this.filter);
    if (this.sorted) {
      const [name, way] = this.sorted;
      const sort = this.columns.find((column) => column.name === name).sort;
      const keyed = shown.map((row, place) => [sort(row), place, row]);
      keyed.sort(([a, p], [b, q]) => (a < b ? -way : a > b ? way : p - q));
      shown = keyed.map((entry) => entry[2]);
    }
    this.shown = shown;
    this.nothing.hidden = shown.length > 0;
    this.nothing.textContent = this.rows.size ? "Nothing matches." : this.empty;
    this.root.setAttribute("aria-rowcount", shown.length);
    for (const node of this.live.values()) node.remove();
    this.live.clear();
    this.later();
  }

  later() {
    if (!this.waiting) this.waiting = requestAnimationFrame(this.draw);
  }

  draw() {
    this.waiting = 0;
    const height = parseFloat(getComputedStyle(this.root).getPropertyValue("--row"));
    this.body.style.height = `${this.shown.length * height}px`;
    const top = this.body.getBoundingClientRect().top;
    const first = Math.max(0, Math.floor(-top / height) - SPARE);
    const last = Math.min(this.shown.length, Math.ceil((innerHeight - top) / height) + SPARE);
    const wanted = new Map();
    for (let place = first; place < last; place++) wanted.set(this.key(this.shown[place]), place);
    for (const [key, node] of this.live) {
      if (!wanted.has(key)) {
        node.remove();
        this.live.delete(key);
      }
    }
    for (const [key, place] of wanted) {
      let node = this.live.get(key);
      if (!node) {
        node = this.make(this.shown[place]);
        this.live.set(key, node);
        this.body.append(node);
      }
      node.style.transform = `translateY(${place * height}px)`;
      node.setAttribute("aria-rowindex", place + 2);
    }
  }

  make(row) {
    const cells = this.columns.map((column) => el("div", { class: column.cls || "", role: "cell" }, column.cell(row)));
    return el("div", { class: `vt-row ${this.rowClass ? this.rowClass(row) : ""}`, role: "row" }, ...cells);
  }
}
