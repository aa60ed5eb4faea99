// A Node service that says which host and release answered.
"use strict";

const { readFileSync } = require("node:fs");
const { createServer } = require("node:http");
const { hostname } = require("node:os");

const release = readFileSync("version.txt", "utf8").trim();

const server = createServer((request, response) => {
  response.setHeader("Content-Type", "application/json");
  response.end(JSON.stringify({ host: hostname(), release, service: "web" }));
});
server.listen(Number(process.env.PORT), "::");
process.on("SIGTERM", () => server.close(() => process.exit(0)));
