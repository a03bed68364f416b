// The files of deploy/ beside the program: image, compose files and unit say nothing that it does not know, and the program
// runs in what the image has.

import assert from "node:assert/strict";
import { execFileSync, spawn, spawnSync } from "node:child_process";
import {
  chmodSync, chownSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";

import { within } from "../wait.mjs";
import { ROOT, freePort, put, read } from "./lib.mjs";

const PROGRAM = process.env.ROOMCAST_PROGRAM;
const FILES = readdirSync(join(ROOT, "deploy"));
/** Debian keeps it off the path of users. */
const CHROOT = "/usr/sbin/chroot";
const HELP = execFileSync(PROGRAM, ["--help"], { encoding: "utf8" });

test("each flag and variable in the files is one that the program, its package or Open WebUI's image knows", () => {
  const words = (text, pattern) => new Set([...text.matchAll(pattern)].map(([word]) => word));
  const known = words(HELP, /--[a-z][a-z-]+|\b[A-Z][A-Z0-9]*(_[A-Z0-9]+)+\b/g);
  // What the others read.
  for (const name of ["ROOMCAST_URL", "POSTGRES_USER", "POSTGRES_PASSWORD", "POSTGRES_DB"]) known.add(name);
  for (const file of FILES) {
    const text = read(`deploy/${file}`);
    const instructions = file === "Dockerfile" ? ["ENTRYPOINT", "CMD", "HEALTHCHECK"] : [];
    const commands = instructions.flatMap((name) => array(text, name));
    if (file.endsWith(".service")) commands.push(...field(text, "ExecStart").split(" "));
    const variables = [...text.matchAll(/^(?:ENV |Environment=)(.*)$/gm)].map(([, pairs]) => pairs).join(" ");
    const used = [
      ...commands.filter((word) => word.startsWith("--")),
      ...words(variables, /\w+(?==)/g),
      ...[...text.matchAll(/^ +([A-Z][A-Z_]+): /gm)].map(([, name]) => name),
    ];
    for (const word of used) assert(known.has(word), `${word} in deploy/${file}`);
    if (!/nginx|Caddy|open-webui/.test(file)) assert(used.length > 2, `${file}: ${used}`);
  }
});

test("what the files copy, build and mount is there", () => {
  for (const file of FILES) {
    const text = read(`deploy/${file}`);
    const paths = [
      ...[...text.matchAll(/^COPY (?!--from)(\S+) /gm)].map(([, path]) => path),
      ...[...text.matchAll(/dockerfile: ([^ }]+)/g)].map(([, path]) => path),
      ...[...text.matchAll(/"\.\/([^:"]+):\//g)].map(([, path]) => `deploy/${path}`),
    ];
    for (const path of paths) assert(existsSync(join(ROOT, path)), `${path} of deploy/${file}`);
  }
  const rust = /^rust-version = "(.*)"$/m.exec(read("Cargo.toml"))[1];
  assert.match(read("deploy/Dockerfile"), new RegExp(`^FROM rust:${rust}-`, "m"));
});

// YAML as compose reads it, with anchors and merges; any name that is used has to be defined.
test("the compose files are YAML whose services, volumes and dependencies exist", (t) => {
  const python = spawnSync("python3", ["-c", "import yaml"]);
  if (python.status !== 0) return notRun(t, "python3 has no yaml");
  for (const file of FILES.filter((name) => name.startsWith("compose."))) {
    const script = "import json, sys, yaml; print(json.dumps(yaml.safe_load(sys.stdin)))";
    const input = read(`deploy/${file}`);
    const compose = JSON.parse(execFileSync("python3", ["-c", script], { input, encoding: "utf8" }));
    for (const [name, service] of Object.entries(compose.services)) {
      assert(service.image ?? existsSync(join(ROOT, service.build.dockerfile)), `${file}: ${name}`);
      for (const needed of service.depends_on ?? []) assert(compose.services[needed], `${file}: ${needed}`);
      for (const volume of service.volumes ?? []) {
        const [source] = volume.split(":");
        assert(source.startsWith("./") || source in compose.volumes, `${file}: ${volume}`);
      }
    }
    const { roomcast, nginx } = compose.services;
    assert(roomcast.read_only && roomcast.cap_drop.includes("ALL"), file);
    // The names that nginx knows.
    assert(nginx && compose.services["open-webui"], file);
    const drain = Number(array(read("deploy/Dockerfile"), "CMD")[1]);
    assert(Number.parseInt(roomcast.stop_grace_period, 10) >= drain + 10, "drain and grace period");
  }
});

// No container runtime is needed: a folder with what the image has, entered as the image's user. Nothing in it can be
// written to but /data, as on a read-only root file system.
test("the program runs in what the image has, and its health check finds it well", async (t) => {
  if (process.getuid() !== 0) return notRun(t, "entering another root needs root");
  const file = read("deploy/Dockerfile");
  const user = /^USER (\d+:\d+)$/m.exec(file)[1];
  const path = file.match(/^COPY --from=build \/roomcast (\S+)$/m)[1];
  assert.equal(array(file, "ENTRYPOINT")[0], path);
  const root = mkdtempSync(join(tmpdir(), "roomcast-image-"));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  chmodSync(root, 0o755);
  const copy = (from, to) => {
    mkdirSync(dirname(root + to), { recursive: true });
    copyFileSync(from, root + to);
  };
  copy(PROGRAM, path);
  const libraries = execFileSync("ldd", [PROGRAM], { encoding: "utf8" }).match(/\/\S+/g);
  // Those of distroless/cc, beside the loader.
  for (const library of libraries) {
    assert.match(basename(library), /^(ld-linux.*|libc|libm|libgcc_s|libdl|libpthread)\.so/);
    copy(library, library);
  }
  mkdirSync(join(root, "data"));
  chownSync(join(root, "data"), ...user.split(":").map(Number));
  const variables = Object.fromEntries(file.match(/^ENV (.*)$/m)[1].split(" ").map((pair) => pair.split("=")));
  const port = String(await freePort());
  const env = { ...variables, ROOMCAST_PORT: port, ROOMCAST_STORE: "own", WEBUI_SECRET_KEY: "the-secret-of-a-test" };
  const inside = ["--userspec", user, root];
  const child = spawn(CHROOT, [...inside, ...array(file, "ENTRYPOINT"), ...array(file, "CMD")], { env, cwd: "/" });
  t.after(() => child.kill("SIGKILL"));
  let log = "";
  child.stderr.on("data", (text) => (log += text));
  const ended = new Promise((resolve) => child.once("exit", resolve));
  const line = new Promise((resolve) => createInterface(child.stdout).once("line", resolve));
  assert.match(await within(Promise.race([line, ended.then(() => log)]), "line of the program"), /^roomcast listens on/);
  const probe = (...words) => spawnSync(CHROOT, [...inside, ...words], { env, encoding: "utf8" });
  const check = array(file, "HEALTHCHECK");
  assert.equal(probe(...check).status, 0);
  assert.equal(probe(path, "--probe", "ready").status, 0);
  for (const name of readdirSync(root)) assert(["data", "lib", "lib64", "usr"].includes(name), name);
  assert(readdirSync(join(root, "data")).includes("roomcast.db"));
  child.kill("SIGTERM");
  assert.equal(await within(ended, "end of the program"), 0, log);
  assert.equal(probe(...check).status, 1);
});

test("the unit is one that systemd takes, and it gives away little", (t) => {
  if (spawnSync("systemd-analyze", ["--version"]).status !== 0) return notRun(t, "there is no systemd-analyze");
  const folder = mkdtempSync(join(tmpdir(), "roomcast-unit-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const unit = join(folder, "roomcast.service");
  writeFileSync(unit, put(read("deploy/roomcast.service"), "/usr/local/bin/roomcast", PROGRAM));
  const verified = spawnSync("systemd-analyze", ["verify", "--man=no", unit], { encoding: "utf8" });
  assert.deepEqual([verified.status, verified.stderr], [0, ""]);
  // 10 is everything, 0 is nothing; the guide names the figure.
  const security = ["security", "--offline=true", "--no-pager", unit];
  const exposure = spawnSync("systemd-analyze", security, { encoding: "utf8" });
  const level = /Overall exposure level for \S+: ([\d.]+)/.exec(exposure.stdout)[1];
  assert(Number(level) <= 1.5, exposure.stdout);
  const text = read("deploy/roomcast.service");
  const stop = Number(field(text, "TimeoutStopSec"));
  const seconds = (flag) => Number(new RegExp(`${flag} (\\d+)`).exec(field(text, "ExecStart"))[1]);
  assert(stop > seconds("--drain-seconds") + seconds("--grace-seconds"));
});

/** The words of an instruction of a Dockerfile in the form of an array, the last of that name. */
function array(file, instruction) {
  const found = [...file.matchAll(new RegExp(`^${instruction} .*?(\\[.*\\])$`, "gm"))].at(-1);
  assert(found, instruction);
  return JSON.parse(found[1]);
}

function field(unit, name) {
  return new RegExp(`^${name}=(.*)$`, "m").exec(unit)[1];
}

function notRun(t, reason) {
  // The summary of test.sh repeats such lines.
  console.log(`not run: ${t.name}: ${reason}`);
}
