// @module-tag system
/** stores.conf against web servers that ask for what it has: tokens, passwords, headers, certificates. */
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type RequestListener, type Server } from "node:http";
import { createServer as createSecureServer } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import type { TLSSocket } from "node:tls";
import { spawnSync } from "node:child_process";
import { needPrograms, randomBytes, temporaryFolder, type TemporaryFolder } from "@imgtool/testkit";
import { beforeEach, afterEach, expect, test } from "vitest";
import { cli, cliAsync, type CliRun, expectError } from "./cli.ts";

let folder: TemporaryFolder;
let resources: AsyncDisposableStack;

beforeEach(() => {
  folder = temporaryFolder();
  resources = new AsyncDisposableStack();
  mkdirSync(folder.join("www"));
  writeFileSync(folder.join("raw"), randomBytes(300_000, "stores file"));
  const made = cli(["make", folder.join("www/1.caibx"), folder.join("raw")]);
  if (made.exitCode !== 0) throw new Error(made.stderr);
});

afterEach(async () => {
  await resources.disposeAsync();
  folder[Symbol.dispose]();
});

function configure(text: string, mode = 0o600): void {
  mkdirSync(folder.join("config/imgtool"), { recursive: true });
  const path = folder.join("config/imgtool/stores.conf");
  writeFileSync(path, text);
  chmodSync(path, mode);
}

function run(...args: readonly string[]): Promise<CliRun> {
  return cliAsync(args, { env: { XDG_CONFIG_HOME: folder.join("config"), CASYNC_STORE: "" } });
}

/** Serves www/, and takes what is put there, from those whom `isAllowed` lets in. */
function files(isAllowed: (request: IncomingMessage) => boolean): RequestListener {
  return (request, response) => {
    const path = join(folder.join("www"), decodeURIComponent(new URL(request.url ?? "/", "http://x").pathname));
    if (!isAllowed(request)) {
      response.writeHead(401, { "www-authenticate": 'Bearer realm="test"' }).end();
      return;
    }
    if (request.method === "PUT") {
      const parts: Buffer[] = [];
      request.on("data", (part: Buffer) => parts.push(part));
      request.on("end", () => {
        mkdirSync(join(path, ".."), { recursive: true });
        writeFileSync(path, Buffer.concat(parts));
        response.writeHead(201).end();
      });
      return;
    }
    try {
      response.end(readFileSync(path));
    } catch {
      response.writeHead(404).end();
    }
  };
}

async function listen(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  resources.defer(() => {
    server.closeAllConnections();
    server.close();
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function basic(text: string): string {
  return `Basic ${Buffer.from(text).toString("base64")}`;
}

function openssl(...args: readonly string[]): void {
  const { status, stderr } = spawnSync("openssl", args, { encoding: "utf8" });
  if (status !== 0) throw new Error(stderr);
}

const token = "t0k3n.of.mine";
const bearer = ({ headers }: IncomingMessage): boolean => headers.authorization === `Bearer ${token}`;

test("a token opens an index and its store to every verb, and is never printed", async () => {
  const host = await listen(createServer(files(bearer)));
  const index = `http://${host}/1.caibx`;
  const before = await run("extract", index, folder.join("out"));
  expectError(before, 8, "401", "stores.conf");
  expect(before.stderr).not.toContain("user:password");
  configure(`[Store http://${host}/*]\nBearerToken=${token}\n`);
  for (const args of [
    ["extract", "--debug", "--seed-output=no", index, folder.join("out")],
    ["extract", `--store=http://127.0.0.1:1/|http://${host}/default.castr`, index, folder.join("out-group")],
    ["extract", `--seed=${folder.join("www/1.caibx")}`, index, folder.join("out-seed")],
    ["verify", "--json", index],
    ["verify", "--index-only", index],
    ["verify", index, folder.join("raw")],
    ["cat", "--length=10", index],
    ["info", index],
    ["digest", index],
    ["diff", index, index],
    ["cache", `--to=${folder.join("copy")}`, index],
    ["make", `--store=http://${host}/other`, folder.join("2.caibx"), folder.join("raw")],
    ["gc", "-n", `--store=${folder.join("www/default.castr")}`, index],
  ]) {
    const done = await run(...args);
    expect(done.exitCode, `${args.join(" ")}: ${done.stderr}`).toBe(0);
    expect(done.stdout + done.stderr).not.toContain(token);
  }
  expect(readFileSync(folder.join("out")).equals(readFileSync(folder.join("raw")))).toBe(true);
  configure(`[Store http://${host}/*]\nBearerToken=${token}\n`, 0o644);
  expectError(await run("extract", index, folder.join("out")), 2, "stores.conf", "chmod o=");
  configure(`[Store http://${host}/*]\nBearerToken=${token}x\n`);
  const wrong = await run("extract", "--debug", "--json", index, folder.join("out"));
  expect(wrong.exitCode).toBe(8);
  expect(wrong.stdout + wrong.stderr).not.toContain(token);
});

test("a password and headers; a URL's own password counts more", async () => {
  const host = await listen(
    createServer(
      files(({ headers }) => headers.authorization === basic("me:pass#word") && headers["x-api-key"] === "1234"),
    ),
  );
  configure(`[Store http://${host}/*]\nUser=me\nPasswordFile=password\nHeader=X-Api-Key: 1234\n`);
  writeFileSync(folder.join("config/imgtool/password"), "pass#word\n", { mode: 0o600 });
  expect(await run("extract", `http://${host}/1.caibx`, folder.join("out"))).toMatchObject({ exitCode: 0 });
  expectError(await run("extract", `http://me:other@${host}/1.caibx`, folder.join("out2")), 8, "401");
});

test("what a server is told does not follow a redirection to another one", async () => {
  const seen: (string | undefined)[] = [];
  const other = await listen(
    createServer((request, response) => {
      seen.push(request.headers.authorization, request.headers["x-api-key"] as string | undefined);
      files(() => true)(request, response);
    }),
  );
  const host = await listen(
    createServer((request, response) =>
      bearer(request)
        ? response.writeHead(302, { location: `http://${other}${request.url ?? ""}` }).end()
        : response.writeHead(401).end(),
    ),
  );
  configure(`[Store http://${host}/*]\nBearerToken=${token}\nHeader=X-Api-Key: 1234\n`);
  expect(await run("extract", `http://${host}/1.caibx`, folder.join("out"))).toMatchObject({ exitCode: 0 });
  expect(seen.length).toBeGreaterThan(2);
  expect(seen.every((value) => value === undefined)).toBe(true);
});

test("a client certificate and an authority of one's own over TLS", async (context) => {
  needPrograms(context, "openssl");
  mkdirSync(folder.join("config/imgtool"), { recursive: true });
  const at = (name: string): string => folder.join("config/imgtool", name);
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  openssl("req", "-x509", ...key, "-keyout", at("ca.key"), "-out", at("ca.pem"), "-subj", "/CN=authority");
  for (const name of ["server", "client"]) {
    const made = ["req", "-x509", "-CA", at("ca.pem"), "-CAkey", at("ca.key"), ...key];
    const files = ["-keyout", at(`${name}.key`), "-out", at(`${name}.pem`)];
    const extensions = ["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"];
    openssl(...made, ...files, "-subj", `/CN=${name}`, ...extensions);
    chmodSync(at(`${name}.key`), 0o600);
  }
  const names: string[] = [];
  const host = await listen(
    createSecureServer(
      {
        cert: readFileSync(at("server.pem")),
        key: readFileSync(at("server.key")),
        ca: readFileSync(at("ca.pem")),
        requestCert: true,
        rejectUnauthorized: true,
      },
      files((request) => {
        names.push(String((request.socket as TLSSocket).getPeerCertificate().subject.CN));
        return true;
      }),
    ),
  );
  const index = `https://${host}/1.caibx`;
  const section = `[Store https://${host}]\nRetries=0\n`;
  configure(section);
  expectError(await run("extract", index, folder.join("out")), 8, "CertificateAuthority=");
  configure(`${section}CertificateAuthority=ca.pem\n`);
  expectError(await run("extract", index, folder.join("out")), 8, "ClientCertificate=");
  configure(`${section}CertificateAuthority=ca.pem\nClientCertificate=client.pem\nClientKey=client.key\n`);
  const extracted = await run("extract", index, folder.join("out"));
  expect(extracted, extracted.stderr).toMatchObject({ exitCode: 0 });
  expect(new Set(names)).toEqual(new Set(["client"]));
  expect(readFileSync(folder.join("out")).equals(readFileSync(folder.join("raw")))).toBe(true);
});

test("a server that says nothing is waited for as long as its section says", async () => {
  const host = await listen(createServer(() => {}));
  configure(`[Store http://${host}/*]\nTimeout=1\nRetries=0\n`, 0o644);
  const start = performance.now();
  expectError(await run("extract", `http://${host}/1.caibx`, folder.join("out")), 8, "no answer in time");
  expect(performance.now() - start).toBeLessThan(15_000);
});
