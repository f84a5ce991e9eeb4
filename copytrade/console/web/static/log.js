import { by, chips, clock, el } from "./ui.js";
import { frame } from "./frame.js";

const LINES_MAX = 500;
let lines = [];
let test = () => true;
let searched = "";

const counted = chips(by("chips"), [
  ["all", "All", () => true],
  ["look", "Warnings and worse", (line) => ["warning", "error", "critical", "alert"].includes(line[2])],
], (chosen) => { test = chosen; draw(); });

function node(line) {
  return el("li", { "data-level": line[2] }, clock(line[1]), el("span", { class: "level" }, line[2]), el("p", {}, line[4], " ", el("span", { class: "who" }, line[3])));
}

function draw() {
  const shown = lines.filter((line) => test(line) && (!searched || line[4].toLowerCase().includes(searched)));
  by("log").replaceChildren(...(shown.length ? shown.map(node).reverse() : [el("li", {}, el("span"), el("span"), el("p", { class: "mute" }, "Nothing has been logged yet."))]));
  counted(lines);
}

by("search").addEventListener("input", (event) => { searched = event.target.value.trim().toLowerCase(); draw(); });
frame(["log"], {
  log: (body) => {
    const after = body.all || !lines.length ? 0 : lines.at(-1)[0];
    lines = [...(body.all ? [] : lines), ...body.lines.filter((line) => line[0] > after)].slice(-LINES_MAX);
    draw();
  },
});
