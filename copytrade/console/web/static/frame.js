// What is around every page: the kill switch, the mode, the banner.
import { act, ask, by, count, el, ifAsked, toast } from "./ui.js";
import { watch } from "./live.js";

const STATES = {
  halt: ["Halt", "No new order of any account leaves, exits included."],
  close_only: ["Close only", "Exits flow, entries do not."],
  flatten: ["Flatten", "Cancel what rests, close every copied position at the market, then halt."],
};
const BANNERS = {
  halt: "The kill switch is on: no new order of any account leaves.",
  close_only: "Close-only: exits flow, entries do not.",
  flatten: "Flattening: copied positions are being closed, then everything halts.",
};
let head = { kill: document.body.dataset.kill, held: 0 };

export function showHead(body) {
  head = body;
  document.body.dataset.kill = body.kill;
  const on = body.kill !== "off";
  by("kill").lastElementChild.textContent = on ? body.kill.replace("_", "-") : "Trading";
  by("mode").hidden = false;
  by("mode").textContent = body.mode;
  by("mode").dataset.mode = body.mode;
  const failed = body.ledger === "failed";
  by("banner").hidden = !on && !failed;
  by("banner").dataset.kill = failed ? "halt" : body.kill;
  by("banner").textContent = failed ? "The ledger cannot be written: nothing is sent. See the log." : BANNERS[body.kill] || "";
}

function stop() {
  const choices = Object.entries(STATES).map(([name, [title, text]]) => el("label", { class: "choice" },
    el("input", { type: "radio", name: "state", value: name, checked: name === "halt" }), el("b", {}, title), el("small", {}, text)));
  const said = (answer) => `The kill switch says ${answer.kill_switch.replace("_", "-")}.`;
  const throwIt = (state) => act("/api/kill", { state, confirm: state });
  ask({ title: "Stop trading", yes: "Stop now", danger: true, fields: choices }).then((form) => {
    const state = form?.get("state");
    if (state === "flatten") {  // the one that cannot be taken back is asked for twice
      ifAsked({ title: "Close every copied position?", text: "Master and followers are taken out at the market's price.", yes: "Flatten all", danger: true, type: "flatten" }, () => throwIt(state), said);
    } else if (state) {
      throwIt(state).then((answer) => toast(said(answer)), (error) => toast(error.message, true));
    }
  });
}

function go() {
  const held = head.held || 0;
  const fields = held ? [el("label", { class: "check" }, el("input", { type: "checkbox", name: "exits" }), `Place the ${count(held)} held exits`)] : [];
  ifAsked({ title: "Lift the kill switch", text: "New orders may leave again. Entries that it stopped are not sent later.", yes: "Lift it", fields },
    (form) => act("/api/unkill", { place_exits: form.has("exits"), confirm: "unkill" }),
    (said) => (said.placed ? `Lifted; ${count(said.placed)} held exits are being placed.` : "The kill switch is lifted."));
}

by("kill").addEventListener("click", () => (head.kill === "off" ? stop() : go()));
document.addEventListener("click", (event) => {
  const menu = document.querySelector(".me[open]");
  if (menu && !menu.contains(event.target)) menu.open = false;
});

export function frame(topics, handlers) {
  watch(topics.length ? topics : ["head"], { head: showHead, ...handlers });
}

// A page without a script of its own has this file as its script.
if (import.meta.url === document.querySelector("script[type=module]").src) frame([], {});
