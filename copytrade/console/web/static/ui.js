// Small things that every page uses: nodes, words for figures, questions to the operator, and the API.

export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name.startsWith("aria-")) node.setAttribute(name, String(value));
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

export const by = (id) => document.getElementById(id);
const two = new Intl.NumberFormat("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const whole = new Intl.NumberFormat("en-US");

export const money = (text) => (text === "" || text === null || text === undefined ? "–" : two.format(text));
export const count = (number) => whole.format(number);
export const quantity = (text) => {
  if (!text || Number(text) === 0) return "–";
  return text.includes(".") ? text.replace(/0+$/, "").replace(/\.$/, "") : text;
};
export const ms = (number) => (number === null || number === undefined ? "–" : number < 10000 ? `${count(number)} ms` : `${(number / 1000).toFixed(1)} s`);
export const bytes = (number) => (number < 1e6 ? `${(number / 1e3).toFixed(0)} kB` : `${(number / 1e6).toFixed(1)} MB`);

export function clock(iso, day = false) {
  if (!iso) return "–";
  const at = new Date(iso);
  const today = at.toDateString() === new Date().toDateString();
  const time = at.toLocaleTimeString("en-GB");
  const text = today && !day ? time : `${at.toLocaleDateString("en-GB", { day: "numeric", month: "short" })} ${time}`;
  return el("time", { datetime: iso, title: iso }, text);
}

const TONES = {
  ready: "ok", busy: "busy", connecting: "busy", held: "warn", down: "bad", parked: "bad", off: "off",
  active: "ok", close_only: "warn", paused: "warn", disarmed: "bad", disabled: "off", independent: "busy",
  filled: "ok", accepted: "busy", approved: "busy", deferred: "busy", unknown: "warn", cancelled: "warn",
  refused: "bad", stopped: "bad", skipped: "off", up: "ok", unused: "off",
};
export const tone = (state) => TONES[state] || "off";
export const words = (state) => state.replaceAll("_", "-");
export const badge = (state) => el("span", { class: `badge is-${tone(state)}` }, words(state));
export const dot = (state) => el("i", { class: `dot is-${tone(state)}` });
export const side = (name) => el("span", { class: name }, name);
export const accountLink = (account, text) => el("a", { href: `/followers/${encodeURIComponent(account)}`, title: account }, text || account);
export function accountPair(account, more = "", phone = "") {
  const [venue, user] = [account.slice(0, account.indexOf(":")), account.slice(account.indexOf(":") + 1)];
  return el("span", { class: "pair" }, el("b", {}, accountLink(account, user)), el("small", {}, more ? `${venue} · ${more}` : venue, phone ? el("span", { class: "phone-only" }, ` · ${phone}`) : null));
}

export function toast(text, bad = false) {
  const node = el("div", { class: bad ? "toast bad" : "toast" }, text);
  by("toasts").append(node);
  setTimeout(() => node.remove(), bad ? 9000 : 5000);
}

export async function get(path) {
  const answer = await fetch(path, { headers: { accept: "application/json" } });
  if (answer.status === 401) location.assign("/sign-in");
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.error || answer.statusText);
  return body;
}

export async function act(path, body) {
  const answer = await fetch(path, {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body),
  });
  if (answer.status === 401) location.assign("/sign-in");
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(typeof said.error === "string" ? said.error : `not done (${answer.status})`);
  return said;
}

// Ask before doing. `type`: a word that has to be typed. `fields`: more nodes. Resolves to the form, or null.
export function ask({ title, text, yes, danger = false, type = null, fields = [] }) {
  return new Promise((resolve) => {
    const typed = type === null ? null : el("input", { name: "typed", autocomplete: "off", spellcheck: "false", "aria-label": `Type ${type}` });
    const go = el("button", { type: "submit", value: "yes", class: danger ? "danger" : "primary" }, yes);
    if (typed) {
      go.disabled = true;
      typed.addEventListener("input", () => { go.disabled = typed.value.trim() !== type; });
    }
    const form = el("form", { method: "dialog" }, el("h1", {}, title), text ? el("p", { class: "mute" }, text) : null, ...fields,
      typed ? el("label", { class: "line" }, el("span", {}, "Type ", el("b", { class: "mono" }, type), " to confirm"), typed) : null,
      el("div", { class: "row" }, el("button", { type: "submit", value: "no", class: "plain", formnovalidate: true }, "Cancel"), go));
    const dialog = el("dialog", {}, form);
    dialog.addEventListener("close", () => {
      resolve(dialog.returnValue === "yes" ? new FormData(form) : null);
      dialog.remove();
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

export async function ifAsked(question, does, done) {
  const form = await ask(question);
  if (form === null) return;
  try {
    const said = await does(form);
    toast(typeof done === "function" ? done(said) : done);
  } catch (error) {
    toast(error.message, true);
  }
}

// Buttons that show only rows of one kind. `kinds`: [name, title, test].
export function chips(place, kinds, chosen) {
  const buttons = kinds.map(([name, title]) => el("button", { type: "button", "aria-pressed": name === "all", onclick: () => pick(name) }, title, " ", el("b", {})));
  function pick(name) {
    kinds.forEach(([each], place) => buttons[place].setAttribute("aria-pressed", each === name));
    chosen(kinds.find(([each]) => each === name)[2]);
  }
  place.replaceChildren(...buttons);
  return (rows) => kinds.forEach(([, , test], at) => {
    const number = rows.filter(test).length;
    buttons[at].querySelector("b").textContent = count(number);
    buttons[at].hidden = number === 0 && at > 0 && buttons[at].getAttribute("aria-pressed") !== "true";
  });
}
