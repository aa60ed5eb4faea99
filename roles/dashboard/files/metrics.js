// From what a Netdata parent says to what the page shows. Pure functions: no network, no page, no clock of the browser's.

/** What one request asks of all hosts: few charts, so that hundreds of nodes fit into one answer. */
export const FILTER = "system.cpu system.ram system.load system.uptime disk_space.* net.* nexus*";

/** Seconds without a new sample after which a node is stale, and after which it is gone. */
export const STALE_AFTER = 15;
export const GONE_AFTER = 60;

const LABEL = /([A-Za-z_]\w*)="((?:[^"\\]|\\.)*)"/g;
const ESCAPED = /\\(.)/g;
const VOLATILE = /^\/(dev|run|sys|proc|tmp|snap|boot\/efi|etc)(\/|$)/;
const VIRTUAL = /^(lo$|veth|docker|br-|virbr|vnet|tap|cali|cni|flannel|lxc|lxd|dummy|ifb|podman|kube)|[.@]/;
const SERVICE_CHART = /^nexus_service\.(.+)_(state|response|release)$/;
const UPSTREAMS_CHART = /^nexus_lb\.upstreams_(.+)$/;

/**
 * Parse Netdata's `format=prometheus_all_hosts&source=as-collected&timestamps=yes`.
 * Returns {now, hosts}: the parent's clock in milliseconds (0 when it says none), and for each host a Map of chart to
 * {time, family, values}, time in milliseconds, values a Map of dimension to the number as it was collected.
 */
export function parseMetrics(text) {
  const hosts = new Map();
  const newer = new Set();
  let now = 0;
  let start = 0;
  while (start < text.length) {
    let end = text.indexOf("\n", start);
    if (end < 0) {
      end = text.length;
    }
    const close = text.lastIndexOf("}", end);
    const open = text.indexOf("{", start);
    if (text.charCodeAt(start) !== 35 && open > start && close > open) {
      const rest = text.slice(close + 1, end).trim();
      const gap = rest.indexOf(" ");
      const value = Number(gap < 0 ? rest : rest.slice(0, gap));
      const time = gap < 0 ? 0 : Number(rest.slice(gap + 1));
      const labels = labelsOf(text.slice(open + 1, close));
      if (labels.instance !== undefined) {
        if (/^v?[2-9]\./.test(labels.version ?? "")) {
          newer.add(labels.instance);
        }
        let charts = hosts.get(labels.instance);
        if (charts === undefined) {
          charts = new Map();
          hosts.set(labels.instance, charts);
        }
        if (labels.chart === undefined) {
          if (labels.application === "netdata" && time > now) {
            now = time;
          }
        } else if (Number.isFinite(value)) {
          let chart = charts.get(labels.chart);
          if (chart === undefined) {
            chart = { time: 0, family: labels.family ?? "", values: new Map() };
            charts.set(labels.chart, chart);
          }
          chart.time = Math.max(chart.time, time || 0);
          chart.values.set(labels.dimension ?? "", value);
        }
      }
    }
    start = end + 1;
  }
  // Netdata 2 collects it in bytes, 1.37 in KiB.
  for (const name of newer) {
    const ram = hosts.get(name).get("system.ram")?.values ?? new Map();
    for (const [dimension, value] of ram) {
      ram.set(dimension, value / 1024);
    }
  }
  return { now, hosts };
}

function labelsOf(text) {
  const labels = {};
  LABEL.lastIndex = 0;
  for (let match = LABEL.exec(text); match !== null; match = LABEL.exec(text)) {
    labels[match[1]] = match[2].includes("\\") ? match[2].replace(ESCAPED, "$1") : match[2];
  }
  return labels;
}

/** Return the interfaces of `names` whose traffic is the node's: not those that only pass on what another one counts. */
export function countedInterfaces(names) {
  const bonds = names.filter((name) => /^bond\d+$/.test(name));
  const real = bonds.length > 0 ? bonds : names.filter((name) => !VIRTUAL.test(name));
  return real.length > 0 ? real : names.filter((name) => name !== "lo");
}

/** Return one node's figures out of its charts (see parseMetrics): counters as they are, the rest as numbers to show. */
export function sampleOf(charts) {
  const sample = {
    time: 0,
    cpu: null,
    memory: null,
    memoryUsed: null,
    memoryTotal: null,
    disk: null,
    diskPath: "",
    diskChart: "",
    load: null,
    uptime: null,
    net: null,
    netTime: 0,
    interfaces: [],
    services: {},
    lb: null,
  };
  const interfaces = [];
  for (const [id, chart] of charts) {
    sample.time = Math.max(sample.time, chart.time);
    if (id.startsWith("net.")) {
      interfaces.push(id.slice(4));
    } else if (id.startsWith("disk_space.")) {
      addDisk(sample, id, chart);
    } else if (id.startsWith("nexus_")) {
      addNexus(sample, id, chart);
    }
  }
  addMachine(sample, charts);
  addNet(sample, charts, countedInterfaces(interfaces));
  return sample;
}

function addMachine(sample, charts) {
  const cpu = charts.get("system.cpu");
  if (cpu) {
    let total = 0;
    for (const value of cpu.values.values()) {
      total += value;
    }
    sample.cpu = { time: cpu.time, total, idle: cpu.values.get("idle") ?? 0 };
  }
  const ram = charts.get("system.ram")?.values;
  if (ram) {
    let total = 0;
    for (const value of ram.values()) {
      total += value;
    }
    const used = ram.get("used") ?? 0;
    if (total > 0) {
      sample.memory = (100 * used) / total;
      sample.memoryUsed = used * 1024;
      sample.memoryTotal = total * 1024;
    }
  }
  const load = charts.get("system.load")?.values.get("load1");
  sample.load = load === undefined ? null : load / 1000;
  const uptime = charts.get("system.uptime")?.values.get("uptime");
  sample.uptime = uptime === undefined ? null : uptime / 1000;
}

function addDisk(sample, id, chart) {
  const used = chart.values.get("used");
  const avail = chart.values.get("avail");
  if (used === undefined || avail === undefined || used + avail <= 0 || VOLATILE.test(chart.family)) {
    return;
  }
  const share = (100 * used) / (used + avail);
  if (sample.disk === null || share > sample.disk) {
    sample.disk = share;
    sample.diskPath = chart.family;
    sample.diskChart = id;
  }
}

function addNet(sample, charts, interfaces) {
  for (const name of interfaces) {
    const chart = charts.get(`net.${name}`);
    sample.net ??= { received: 0, sent: 0 };
    sample.net.received += Math.abs(chart.values.get("received") ?? 0);
    sample.net.sent += Math.abs(chart.values.get("sent") ?? 0);
    sample.netTime = Math.max(sample.netTime, chart.time);
  }
  sample.interfaces = interfaces;
}

function addNexus(sample, id, chart) {
  const service = SERVICE_CHART.exec(id);
  if (service) {
    const entry = (sample.services[service[1]] ??= { healthy: null, active: null, response: null, release: "" });
    if (service[2] === "state") {
      entry.healthy = chart.values.has("healthy") ? chart.values.get("healthy") > 0 : null;
      entry.active = chart.values.has("active") ? chart.values.get("active") > 0 : null;
    } else if (service[2] === "response") {
      entry.response = chart.values.get("response") ?? null;
    } else {
      for (const [release, current] of chart.values) {
        if (current > 0) {
          entry.release = release;
        }
      }
    }
    return;
  }
  if (!id.startsWith("nexus_lb.")) {
    return;
  }
  const lb = (sample.lb ??= { holds: null, caddy: null, requests: null, requestsTime: 0, upstreams: {} });
  const upstreams = UPSTREAMS_CHART.exec(id);
  if (upstreams) {
    lb.upstreams[upstreams[1]] = Object.fromEntries([...chart.values].map(([name, value]) => [name, value > 0]));
  } else if (id === "nexus_lb.floating_ip") {
    lb.holds = (chart.values.get("held") ?? 0) > 0;
  } else if (id === "nexus_lb.caddy") {
    lb.caddy = (chart.values.get("up") ?? 0) > 0;
  } else if (id === "nexus_lb.requests") {
    lb.requests = Object.fromEntries(chart.values);
    lb.requestsTime = chart.time;
  }
}

function perSecond(before, after, milliseconds) {
  return after >= before && milliseconds > 0 ? ((after - before) * 1000) / milliseconds : null;
}

/**
 * Return what changed between two samples of one node: {cpu, received, sent, requests}, in percent and per second; null
 * where nothing can be said: no new sample, or a counter that began again.
 */
export function ratesOf(before, after) {
  const rates = { cpu: null, received: null, sent: null, requests: null };
  if (!before) {
    return rates;
  }
  if (before.cpu && after.cpu && after.cpu.total > before.cpu.total && after.cpu.idle >= before.cpu.idle) {
    rates.cpu = 100 * (1 - (after.cpu.idle - before.cpu.idle) / (after.cpu.total - before.cpu.total));
  }
  if (before.net && after.net && before.interfaces.join() === after.interfaces.join()) {
    const elapsed = after.netTime - before.netTime;
    rates.received = perSecond(before.net.received, after.net.received, elapsed);
    rates.sent = perSecond(before.net.sent, after.net.sent, elapsed);
  }
  if (before.lb?.requests && after.lb?.requests) {
    const elapsed = after.lb.requestsTime - before.lb.requestsTime;
    const requests = {};
    for (const [kind, value] of Object.entries(after.lb.requests)) {
      requests[kind] = perSecond(before.lb.requests[kind] ?? value, value, elapsed);
    }
    rates.requests = Object.values(requests).includes(null) ? null : requests;
  }
  return rates;
}

/**
 * Return how far a node's clock is from the parent's, in milliseconds, 0 for what counts as no difference. To be asked when
 * a sample was just seen to move: `now` is the parent's clock, `time` the sample's.
 */
export function skewOf(now, time) {
  return Math.abs(now - time) > 5000 ? now - time : 0;
}

/**
 * Return {state, age, reason} of a node. `status` is the parent's entry of mirrored_hosts_status (undefined: it never saw
 * the node), `time` the newest sample's (0: none), `now` the parent's clock, `skew` see skewOf.
 */
export function stateOf({ status, time, now, skew }) {
  const age = time === 0 ? null : Math.max(0, now - time - skew) / 1000;
  if (status === undefined) {
    return { state: "gone", age, reason: "the parent has not seen it" };
  }
  if (status.reachable === false) {
    return { state: "gone", age, reason: "it sends nothing to the parent" };
  }
  if (age === null || age > GONE_AFTER) {
    return { state: "gone", age, reason: age === null ? "no data yet" : "no new data" };
  }
  return age > STALE_AFTER ? { state: "stale", age, reason: "no new data" } : { state: "live", age, reason: "" };
}

/** Return {parent, hosts}: who answered an `/api/v1/info`, and its Map of host name to mirrored_hosts_status entry. */
export function parseInfo(info) {
  const list = Array.isArray(info.mirrored_hosts_status) ? info.mirrored_hosts_status : [];
  const own = list.find((host) => host.hops === 0);
  return {
    parent: own?.hostname ?? info.mirrored_hosts?.[0] ?? "",
    hosts: new Map(list.map((host) => [host.hostname, host])),
  };
}

/** Turn an answer of `/api/v1/data?format=json` into {times, columns}: oldest first, seconds, a column per dimension. */
export function parseData(answer) {
  const rows = Array.isArray(answer?.data) ? [...answer.data].reverse() : [];
  const columns = {};
  for (const [index, label] of (answer?.labels ?? []).entries()) {
    if (index > 0) {
      columns[label] = rows.map((row) => row[index]);
    }
  }
  return { times: rows.map((row) => row[0]), columns };
}

function addColumns(columns, names) {
  const chosen = names.map((name) => columns[name]).filter(Boolean);
  if (chosen.length === 0) {
    return null;
  }
  return chosen[0].map((_, row) => {
    const cells = chosen.map((column) => column[row]);
    return cells.includes(null) ? null : cells.reduce((sum, cell) => sum + cell, 0);
  });
}

function share(part, whole) {
  return part && whole ? part.map((value, row) => (value === null || !whole[row] ? null : (100 * value) / whole[row])) : null;
}

/** What parts of `/data` answers make the series of a tile; each returns a list of values or null. */
export const SERIES = {
  cpu: ({ columns }) => addColumns(columns, Object.keys(columns).filter((name) => name !== "idle")),
  memory: ({ columns }) => share(columns.used, addColumns(columns, Object.keys(columns))),
  disk: ({ columns }) => share(columns.used, addColumns(columns, ["used", "avail"])),
  requests: ({ columns }) => addColumns(columns, Object.keys(columns)),
  // Netdata draws sent traffic downwards, in kilobits.
  received: ({ columns }) => columns.received?.map((value) => (value === null ? null : Math.abs(value) * 125)) ?? null,
  sent: ({ columns }) => columns.sent?.map((value) => (value === null ? null : Math.abs(value) * 125)) ?? null,
};

/** Return the active alarms of an `/api/v1/alarms?active` answer. */
export function parseAlarms(answer, node) {
  return Object.values(answer?.alarms ?? {})
    .filter((alarm) => alarm.status === "WARNING" || alarm.status === "CRITICAL")
    // What a parent says of a node is an alarm of its own.
    .map((alarm) => ({ ...alarm, node: /^nexus_nodes\.(.+)$/.exec(alarm.chart)?.[1] ?? node }))
    .map(({ node, ...alarm }) => ({
      node,
      key: `${node}|${alarm.chart}|${alarm.name}`,
      name: String(alarm.name),
      chart: String(alarm.chart),
      status: alarm.status.toLowerCase(),
      info: String(alarm.info ?? ""),
      value: /\bboolean$/.test(alarm.value_string ?? "") ? "" : String(alarm.value_string ?? ""),
      since: Number(alarm.last_status_change ?? 0),
    }));
}
