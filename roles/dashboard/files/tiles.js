// The tiles: one per node. All of them are in the document; sparklines and new figures are for those on the screen.

import { arrange, make, setAttribute, setSign, setText, sign } from "./dom.js";
import { bitRate, duration, percent, plural, size } from "./format.js";
import { forget, later } from "./frames.js";
import { Spark } from "./spark.js";

export const SIGNS = { live: "good", stale: "warn", gone: "bad", wait: "wait" };
const ROLES = { manager: "manager", lb: "lb", worker: "worker" };
const ROWS = [
  { key: "cpu", label: "CPU", top: 100, tracks: ["cpu"] },
  { key: "memory", label: "Memory", top: 100, tracks: ["memory"] },
  { key: "disk", label: "Disk", top: 100, tracks: ["disk"] },
  { key: "net", label: "Network", top: null, floor: 1250, tracks: ["received", "sent"] },
];
const NOTHING = [];

export const stateWords = (node) =>
  node.state === "wait"
    ? "waiting"
    : node.state === "live"
      ? "live"
      : `${node.state}${node.age === null ? "" : ` ${duration(node.age)}`}`;

class Tile {
  constructor(node, links) {
    this.node = node;
    this.visible = false;
    this.spark = new Spark(ROWS);
    this.link = make("a.name", { href: `#node=${encodeURIComponent(node.name)}`, text: node.name });
    this.sign = sign("wait");
    this.state = make("span.state");
    this.roles = make("span.roles");
    this.charts = make("a.out", {
      href: links.charts(node.name),
      target: "_blank",
      rel: "noopener",
      tabindex: "-1",
      "aria-label": `All charts of ${node.name}`,
      title: "All charts (Netdata)",
    });
    this.alarm = make("span.flag");
    this.alarm.hidden = true;
    this.rows = {};
    const list = make("dl.figures");
    for (const { key, label } of ROWS) {
      const value = make("span.value", { text: "–" });
      list.append(make("div", {}, make("dt", { text: label }), make("dd", {}, value)));
      this.rows[key] = { value };
    }
    this.rows.net.value.classList.add("two");
    this.rows.net.down = make("span.down");
    this.rows.net.up = make("span.up");
    this.rows.net.value.replaceChildren(this.rows.net.down, this.rows.net.up);
    this.element = make(
      "li.tile",
      { "data-node": node.name, "data-state": "wait" },
      make("div.head", {}, this.sign, make("h3", {}, this.link), this.state, this.alarm, this.charts),
      this.roles,
      make("div.body", {}, make("div.spark", { "aria-hidden": "true" }, this.spark.element), list),
    );
    this.element.tile = this;
    this.showState();
  }

  /** What is shown of every tile, on the screen or not. */
  showState() {
    const { node } = this;
    setAttribute(this.element, "data-state", node.state);
    setSign(this.sign, SIGNS[node.state]);
    const worst = node.alarms.some((alarm) => alarm.status === "critical") ? "critical" : "warning";
    this.alarm.hidden = node.alarms.length === 0;
    if (node.alarms.length > 0) {
      setAttribute(this.alarm, "data-status", worst);
      setText(this.alarm, plural(node.alarms.length, "alarm"));
    }
    setText(this.roles, [...node.roles.map((role) => ROLES[role] ?? role), node.address].join(" · "));
  }

  /** What changes with every answer. */
  showFigures() {
    const { node, rows } = this;
    const { figures } = node;
    setText(this.state, stateWords(node));
    setText(rows.cpu.value, percent(figures.cpu));
    setText(rows.memory.value, percent(figures.memory));
    setText(rows.disk.value, percent(figures.disk));
    setText(rows.net.down, bitRate(figures.received));
    setText(rows.net.up, bitRate(figures.sent));
    setAttribute(rows.memory.value, "title", node.sample?.memoryTotal ? `of ${size(node.sample.memoryTotal)}` : null);
    setAttribute(rows.disk.value, "title", node.sample?.diskPath ? `fullest: ${node.sample.diskPath}` : null);
    setAttribute(rows.disk.value, "data-level", figures.disk >= 95 ? "bad" : figures.disk >= 85 ? "warn" : null);
    setAttribute(this.link, "aria-label", this.spoken());
  }

  spoken() {
    const { node } = this;
    const { figures } = node;
    const parts = [
      node.name,
      stateWords(node),
      node.roles.join(" and "),
      `CPU ${percent(figures.cpu)}`,
      `memory ${percent(figures.memory)}`,
      `disk ${percent(figures.disk)}`,
      `network in ${bitRate(figures.received)}, out ${bitRate(figures.sent)}`,
      node.alarms.length > 0 ? plural(node.alarms.length, "active alarm") : "",
    ];
    return parts.filter(Boolean).join(", ").replaceAll("\u202f", " ").replaceAll("–", "unknown");
  }
}

const COLLATOR = new Intl.Collator("en", { numeric: true });
const ORDERS = {
  problem: (one, other) => other.rank - one.rank,
  name: () => 0,
  cpu: (one, other) => (other.figures.cpu ?? -1) - (one.figures.cpu ?? -1),
  memory: (one, other) => (other.figures.memory ?? -1) - (one.figures.memory ?? -1),
  disk: (one, other) => (other.figures.disk ?? -1) - (one.figures.disk ?? -1),
  net: (one, other) =>
    (other.figures.received ?? 0) + (other.figures.sent ?? 0) - (one.figures.received ?? 0) - (one.figures.sent ?? 0),
};
const SETTLED = { problem: true, name: true };
const RESORT_EVERY = 10000;

export class Tiles {
  /** `links.charts(name)` is where a node's charts are; `wants(names)` is called for nodes whose history is to be fetched. */
  constructor(list, empty, links, wants) {
    this.list = list;
    this.empty = empty;
    this.links = links;
    this.wants = wants;
    this.tiles = new Map();
    this.filter = { text: "", show: "all", role: "" };
    this.sort = "problem";
    this.sortedAt = 0;
    this.end = Date.now() / 1000;
    this.services = () => NOTHING;
    this.observer = new IntersectionObserver((entries) => this.seen(entries), { rootMargin: "160px 0px" });
  }

  setNodes(nodes) {
    for (const [name, tile] of this.tiles) {
      if (!nodes.has(name)) {
        this.observer.unobserve(tile.element);
        forget(`tile:${name}`);
        tile.element.remove();
        this.tiles.delete(name);
      }
    }
    for (const [name, node] of nodes) {
      if (!this.tiles.has(name)) {
        const tile = new Tile(node, this.links);
        this.tiles.set(name, tile);
        this.observer.observe(tile.element);
      }
    }
    this.order(true);
    this.update(this.end);
  }

  /** New figures are there; `end` is the parent's time in seconds. */
  update(end) {
    this.end = end;
    for (const tile of this.tiles.values()) {
      tile.showState();
      if (tile.visible) {
        this.show(tile);
      }
    }
    this.order(false);
  }

  show(tile) {
    later(`tile:${tile.node.name}`, () => {
      tile.showFigures();
      tile.spark.show(this.end, tile.node.track);
    });
  }

  seen(entries) {
    for (const entry of entries) {
      const { tile } = entry.target;
      tile.visible = entry.isIntersecting;
      if (tile.visible) {
        this.show(tile);
      } else {
        forget(`tile:${tile.node.name}`);
      }
    }
    this.ask();
  }

  /** Have the histories of tiles on the screen fetched that have none yet. */
  ask() {
    const names = [];
    for (const tile of this.tiles.values()) {
      if (tile.visible && tile.node.history === "none" && tile.node.sample !== null) {
        tile.node.history = "asked";
        names.push(tile.node.name);
      } else if (!tile.visible && tile.node.history === "asked") {
        tile.node.history = "none";
      }
    }
    if (names.length > 0) {
      this.wants([...this.tiles.values()].filter((tile) => tile.node.history === "asked").map((tile) => tile.node.name));
    }
  }

  /** More is known of one node. */
  refresh(name) {
    const tile = this.tiles.get(name);
    if (tile?.visible) {
      this.show(tile);
    }
  }

  setFilter(change) {
    Object.assign(this.filter, change);
    this.order(true);
  }

  setSort(sort) {
    this.sort = sort;
    this.order(true);
  }

  matches(node) {
    const { text, show, role } = this.filter;
    if (role !== "" && !node.roles.includes(role)) {
      return false;
    }
    if (show === "problem" ? !node.problem : show !== "all" && node.state !== show) {
      return false;
    }
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    const about = [node.name, node.address, node.state, ...node.roles, ...this.services(node.name)].join(" ").toLowerCase();
    return words.every((word) => about.includes(word));
  }

  order(now) {
    if (!now && !SETTLED[this.sort] && Date.now() - this.sortedAt < RESORT_EVERY) {
      return;
    }
    this.sortedAt = Date.now();
    const compare = ORDERS[this.sort];
    const all = [...this.tiles.values()];
    const shown = all
      .filter((tile) => this.matches(tile.node))
      .sort((one, other) => compare(one.node, other.node) || COLLATOR.compare(one.node.name, other.node.name));
    const key = shown.map((tile) => tile.node.name).join("\n");
    if (key !== this.key) {
      this.key = key;
      arrange(
        this.list,
        shown.map((tile) => tile.element),
      );
    }
    this.shown = shown.length;
    this.empty.hidden = shown.length > 0;
    if (shown.length === 0) {
      setText(this.empty, all.length === 0 ? "There are no nodes yet." : "No node matches. Clear the search or choose other states.");
    }
  }
}
