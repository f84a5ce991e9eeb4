import { accountLink, by, bytes, clock, count, dot, el, get, toast, words } from "./ui.js";
import { frame } from "./frame.js";

const STANDING = { runs: "running", waits: "waiting", winds_down: "winding down" };
const tile = (title, figure, sub, bad = false) => el("div", { class: "tile" }, el("h2", {}, title), el("p", { class: bad ? "figure bad" : "figure" }, figure), el("p", { class: "sub" }, sub));
const facts = (pairs) => el("dl", { class: "facts" }, ...pairs.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));

function lasting(from, to) {
  const minutes = Math.max(0, Math.floor((Date.parse(to) - Date.parse(from)) / 60000));
  return minutes < 60 ? `${minutes} min` : minutes < 2880 ? `${Math.floor(minutes / 60)} h ${minutes % 60} min` : `${Math.floor(minutes / 1440)} days`;
}

function live(body) {
  const failed = body.ledger.state !== "fine";
  const down = body.venues.filter((venue) => venue.state === "down").length;
  const off = Math.round((Date.parse(body.now) - Date.now()) / 1000);
  by("tiles").replaceChildren(
    tile("Kill switch", words(body.kill), body.kill === "off" ? "orders may leave" : "see the button above", body.kill !== "off"),
    tile("Venues", down ? `${down} down` : "all up", `${body.venues.length} in use`, down > 0),
    tile("Ledger", body.ledger.state, failed ? "nothing is sent" : "every intent is on disk first", failed),
    tile("Lanes", `${count(body.lanes.waiting)} waiting`, `${count(body.lanes.sending)} on the wire, deepest ${count(body.lanes.deepest)}`),
    tile("Running", lasting(body.started_at, body.now), "since the last start"),
    tile("Clock", Math.abs(off) < 5 ? "agrees" : `${off} s off`, "worker against this browser", Math.abs(off) >= 5),
  );
  by("venues").replaceChildren(...body.venues.map((venue) => el("div", { class: "venue" },
    el("h3", {}, dot(venue.state), venue.name),
    el("p", { class: "sub" }, `${count(venue.connected)} of ${count(venue.accounts)} accounts connected${venue.parked ? `, ${count(venue.parked)} parked` : ""}`),
    Object.keys(venue.facts).length ? facts(Object.entries(venue.facts)) : null)));
  const loops = body.loops;
  by("scans").replaceChildren(...body.scans.map((scan) => el("div", { class: "venue" },
    el("h3", {}, dot(scan.breaker === "closed" ? "up" : scan.breaker === "open" ? "down" : "held"), scan.venue),
    el("p", { class: "sub" }, `for ${scan.owner === "master" ? "the master" : "independent accounts"}: ${scan.progress}`),
    facts([["health", `${scan.health_percent} %`], ["breaker", words(scan.breaker)], ["rounds", count(scan.rounds)]]))));
  by("scanning").hidden = !body.scans.length;
  by("alone").hidden = !loops.count;
  by("loops").replaceChildren(
    el("p", { class: "sub" }, `${count(loops.count)} ${loops.count === 1 ? "account" : "accounts"}: ${Object.entries(loops.standing).map(([name, number]) => `${count(number)} ${STANDING[name] || name}`).join(", ")}`),
    loops.shown.length ? el("dl", { class: "facts" }, ...loops.shown.flatMap((each) => [el("dt", {}, accountLink(each.account)), el("dd", {}, `${STANDING[each.standing] || each.standing}${each.last_error ? `: ${each.last_error}` : ""}`)])) : "",
    loops.trouble > loops.shown.length ? el("p", { class: "sub" }, `and ${count(loops.trouble - loops.shown.length)} more`) : "");
  by("parked").replaceChildren(body.parked.length
    ? el("dl", { class: "facts" }, ...body.parked.flatMap((each) => [el("dt", {}, accountLink(each.account)), el("dd", {}, `${each.reason} ${each.detail}`)]))
    : el("p", { class: "sub" }, "None."));
}

async function size() {
  try {
    const { size: found, ledger } = await get("/api/health");
    by("ledger").replaceChildren(facts([
      ["Events", count(found.events)], ["Signals", count(found.signals)], ["Orders", count(found.orders)], ["Open orders", count(found.open)],
      ["File", bytes(found.bytes)], ["Write-ahead file", bytes(found.wal_bytes)], ["Begun", clock(found.created_at, true)],
      ...Object.entries(found.by_state).map(([state, number]) => [`Orders ${words(state)}`, count(number)]),
    ]), ledger.text ? el("p", { class: "note bad" }, ledger.text) : "");
  } catch (error) {
    toast(error.message, true);
  }
}

size();
setInterval(() => { if (!document.hidden) size(); }, 10000);
frame(["health"], { health: live });
