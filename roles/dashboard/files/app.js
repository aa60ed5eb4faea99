// Puts the page together: the feed in its worker, what is known of the nodes, and the parts that show it.

import { Detail } from "./detail.js";
import { setAttribute, setText } from "./dom.js";
import { clock, duration, plural } from "./format.js";
import { Node } from "./nodes.js";
import { Alarms, LoadBalancers, Services, Summary } from "./panels.js";
import { Tiles } from "./tiles.js";

// Without the user name and password that the address may hold: requests with them are refused by browsers.
const BASE = location.origin + location.pathname.replace(/[^/]*$/, "");
const PATIENCE = 5000; // milliseconds without an answer until the page says so
const THEMES = { "": "as the system", light: "light", dark: "dark" };

const byId = (id) => document.getElementById(id);
const world = { config: null, nodes: new Map(), alarms: [], alarmsKnown: false, now: 0, parent: "" };
const seen = { at: 0, failure: "", started: Date.now(), grace: 0 };

const links = { charts: (name) => `${world.config.api}host/${encodeURIComponent(name)}/` };
const summary = new Summary();
const alarms = new Alarms();
const services = new Services();
const lbs = new LoadBalancers();
const tiles = new Tiles(byId("tiles"), byId("empty"), links, (names) => send({ type: "history", nodes: names }));
const detail = new Detail(byId("detail"), links, (node) => send({ type: "detail", node }));

tiles.services = (name) =>
  Object.entries(world.config?.services ?? {})
    .filter(([, service]) => service.nodes.includes(name))
    .map(([service]) => service);

// The feed: in a worker; where a browser has none for modules, in the page.

let send = () => {};

function startFeed() {
  const waiting = [];
  send = (message) => waiting.push(message);
  const begin = (deliver) => {
    send = deliver;
    send({ type: "start", base: BASE });
    for (const message of waiting) {
      send(message);
    }
  };
  let ready = false;
  const inPage = async () => {
    const { Feed } = await import("./feed.js");
    const feed = new Feed(BASE, hear);
    begin((message) => (message.type === "start" ? feed.run() : feed.hear(message)));
  };
  try {
    const worker = new Worker(`${BASE}worker.js`, { type: "module" });
    worker.addEventListener("message", ({ data }) => {
      if (data.type === "ready") {
        ready = true;
        begin((message) => worker.postMessage(message));
      } else {
        hear(data);
      }
    });
    worker.addEventListener("error", () => {
      if (!ready) {
        ready = true;
        inPage();
      }
    });
  } catch {
    inPage();
  }
}

function hear(message) {
  if (message.type === "config") {
    takeConfig(message.config);
  } else if (message.type === "tick") {
    takeTick(message);
  } else if (message.type === "alarms") {
    takeAlarms(message);
  } else if (message.type === "history") {
    world.nodes.get(message.node)?.remember(message.series);
    tiles.refresh(message.node);
  } else if (message.type === "detail") {
    detail.take(message.node, message.series, world.now / 1000);
  } else if (message.type === "failure") {
    seen.failure = message.reason;
    showSource();
  }
}

function takeConfig(config) {
  world.config = config;
  setText(byId("cluster"), config.cluster ?? "");
  const before = world.nodes;
  world.nodes = new Map();
  for (const entry of config.nodes) {
    const node = before.get(entry.name) ?? new Node(entry);
    node.describe(entry);
    world.nodes.set(entry.name, node);
  }
  if ([...before.keys()].join("\n") !== [...world.nodes.keys()].join("\n")) {
    tiles.setNodes(world.nodes);
  }
  show();
  followHash();
}

function takeTick(message) {
  seen.at = Date.now();
  seen.failure = "";
  const first = world.now === 0;
  world.now = message.now;
  world.parent = message.parent;
  const changes = [];
  for (const [name, node] of world.nodes) {
    const news = message.nodes[name];
    if (news) {
      const before = node.state;
      node.take(news);
      if (!first && before !== "wait" && before !== node.state) {
        changes.push(`${name} is ${node.state}`);
      }
    }
  }
  if (first) {
    const bad = [...world.nodes.values()].filter((node) => node.state !== "live");
    changes.push(
      bad.length === 0
        ? `${plural(world.nodes.size, "node")}, all live`
        : `${plural(world.nodes.size, "node")}, ${bad.slice(0, 5).map((node) => `${node.name} is ${node.state}`).join(", ")}`,
    );
  }
  announce(changes);
  tiles.ask();
  show();
}

function takeAlarms(message) {
  world.alarms = message.alarms;
  world.alarmsKnown ||= message.complete;
  for (const node of world.nodes.values()) {
    node.alarms = world.alarms.filter((alarm) => alarm.node === node.name);
  }
  show();
}

/** Say what became of nodes to those who listen. */
function announce(changes) {
  if (changes.length > 0) {
    byId("announcer").textContent = changes.length > 6 ? `${changes.slice(0, 6).join(", ")}, and ${changes.length - 6} more` : changes.join(", ");
  }
}

function show() {
  const { config, nodes } = world;
  if (config === null) {
    return;
  }
  const end = (world.now || Date.now()) / 1000;
  summary.update(world);
  alarms.update(world.alarms, world.now || Date.now());
  services.take(config, nodes);
  lbs.take(nodes, end);
  tiles.update(end);
  detail.update();
  showCount();
  showTitle();
  showSource();
}

function showCount() {
  const total = world.nodes.size;
  setText(byId("nodes-count"), tiles.shown === total ? String(total) : `${tiles.shown} of ${total}`);
}

function showTitle() {
  const gone = [...world.nodes.values()].filter((node) => node.state === "gone").length;
  const stale = [...world.nodes.values()].filter((node) => node.state === "stale").length;
  const parts = [gone > 0 ? `${gone} gone` : "", stale > 0 ? `${stale} stale` : ""].filter(Boolean);
  const title = `${parts.length > 0 ? `(${parts.join(", ")}) ` : ""}${world.config.cluster ?? ""} – Nexus`;
  if (document.title !== title) {
    document.title = title;
  }
}

/** Who answers, and since when nobody does. */
function showSource() {
  const silent = Date.now() - (seen.at || seen.started);
  const lost = silent > PATIENCE && Date.now() > seen.grace && document.visibilityState === "visible";
  const banner = byId("banner");
  setAttribute(byId("source"), "data-state", lost ? "lost" : seen.at === 0 ? "wait" : "live");
  if (!lost) {
    setText(byId("source-text"), seen.at === 0 ? "connecting" : `${world.parent || "a parent"} answers`);
    banner.hidden = true;
    return;
  }
  setText(byId("source-text"), seen.at === 0 ? "no data yet" : `no data for ${duration(silent / 1000)}`);
  const since = seen.at === 0 ? "No data yet." : `No data since ${clock(seen.at)}: what you see is from then.`;
  setText(banner, `${since} ${seen.failure || "No answer"}. Trying again.`);
  banner.hidden = false;
}

// What people do.

function followHash() {
  const match = /^#node=(.+)$/.exec(location.hash);
  const node = match && world.nodes.get(decodeURIComponent(match[1]));
  if (node) {
    detail.open(node, world.config);
  } else {
    detail.close();
  }
}

/** Return where an arrow key leads from a tile: to the next one, or the one below. */
function neighbour(tile, key) {
  const all = [...byId("tiles").children];
  const at = all.indexOf(tile);
  const columns = getComputedStyle(byId("tiles")).gridTemplateColumns.split(" ").length;
  const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns }[key];
  return key === "Home" ? all[0] : key === "End" ? all.at(-1) : all[at + step];
}

function showTheme() {
  const theme = document.documentElement.dataset.theme ?? "";
  const label = `Colours: ${THEMES[theme]}`;
  byId("theme").setAttribute("aria-label", label);
  byId("theme").title = label;
  detail.redraw();
}

function nextTheme() {
  const order = Object.keys(THEMES);
  const theme = order[(order.indexOf(document.documentElement.dataset.theme ?? "") + 1) % order.length];
  if (theme === "") {
    delete document.documentElement.dataset.theme;
  } else {
    document.documentElement.dataset.theme = theme;
  }
  try {
    localStorage.setItem("nexus-theme", theme);
  } catch {
    // For this visit, then.
  }
  showTheme();
}

for (const [id, change] of Object.entries({
  search: (value) => tiles.setFilter({ text: value }),
  show: (value) => tiles.setFilter({ show: value }),
  role: (value) => tiles.setFilter({ role: value }),
  sort: (value) => tiles.setSort(value),
})) {
  byId(id).addEventListener("input", (event) => {
    change(event.target.value);
    if (world.config) {
      showCount();
    }
  });
}
byId("search").addEventListener("keydown", (event) => {
  if (event.key === "Escape" && event.target.value !== "") {
    event.target.value = "";
    tiles.setFilter({ text: "" });
    showCount();
  }
});
byId("theme").addEventListener("click", nextTheme);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", showTheme);
byId("tiles").addEventListener("keydown", (event) => {
  const tile = event.target.closest(".tile");
  if (tile && ["ArrowRight", "ArrowLeft", "ArrowDown", "ArrowUp", "Home", "End"].includes(event.key) && !event.ctrlKey && !event.metaKey && !event.altKey) {
    const next = neighbour(tile, event.key);
    if (next) {
      event.preventDefault();
      next.tile.link.focus();
    }
  }
});
addEventListener("keydown", (event) => {
  if (event.key === "/" && !event.ctrlKey && !event.metaKey && !event.target.closest("input, select, dialog")) {
    event.preventDefault();
    byId("search").focus();
  }
});
addEventListener("hashchange", followHash);
document.addEventListener("visibilitychange", () => {
  send({ type: "hidden", hidden: document.visibilityState === "hidden" });
  if (document.visibilityState === "visible") {
    seen.grace = Date.now() + PATIENCE;
  }
});
setInterval(showSource, 1000);
showTheme();
startFeed();
