/** The HTTP driver against servers that others wrote: nginx, and Node.js's HTTP/2. */
import { spawn } from "node:child_process";
import { mkdirSync, readFileSync, renameSync, utimesSync, writeFileSync } from "node:fs";
import { createSecureServer, type ServerHttp2Session } from "node:http2";
import { createServer as createProxy } from "node:http";
import { connect, type AddressInfo } from "node:net";
import { findProgram, needPrograms, randomBytes, run, temporaryFolder } from "@imgtool/testkit";
import { expect, test, vi } from "vitest";
import { chunkName, fetchBytes, openHttpStore, readChunk, serveDirectory } from "../src/index.ts";
import { layChunk, none, readFailures, storeContract, writeFailures } from "./contract.ts";
import { freePort } from "@imgtool/testkit/servers";
import { checkSendingRate } from "./sending-rate.ts";
import { checkParts } from "./ranged-file.ts";

async function startNginx(root: string, tls = ""): Promise<{ url: string; close: () => Promise<void> }> {
  const folder = temporaryFolder();
  const port = await freePort();
  const paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((kind) => `${kind}_temp_path ${folder.join(kind)};`)
    .join(" ");
  writeFileSync(
    folder.join("nginx.conf"),
    `daemon off; worker_processes 1; pid ${folder.join("pid")}; error_log ${folder.join("log")};
     ${process.getuid?.() === 0 ? "user root;" : ""}
     events {} http { access_log off; ${paths} server { listen 127.0.0.1:${port}${tls === "" ? "" : " ssl"}; ${tls} root ${root};
       dav_methods PUT; create_full_put_path on; client_max_body_size 129m; } }`,
  );
  const child = spawn(findProgram("nginx") ?? "nginx", ["-p", folder.path, "-c", folder.join("nginx.conf")], {
    stdio: "ignore",
  });
  const url = tls === "" ? `http://127.0.0.1:${port}/` : `https://localhost:${port}/`;
  await fetchBytes(`http://127.0.0.1:${port}/nothing`, {
    maxSize: 1000,
    retries: 20,
    retryDelay: 20,
    proxy: false,
  }).catch(() => undefined);
  return {
    url,
    close: async () => {
      const ended = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGTERM");
      await ended;
      folder[Symbol.dispose]();
    },
  };
}

if (findProgram("nginx") !== undefined) {
  storeContract("HTTP from nginx", {
    reads: none(readFailures, "the same driver is tested behind a bad network"),
    writes: none(writeFailures, "the same driver is tested behind a bad network"),
    renews: { not: "nginx sets no times" },
    lists: { not: "the driver knows no server's own listing" },
    open: async (root) => {
      const nginx = await startNginx(root);
      const store = openHttpStore(nginx.url);
      return { store, writable: store, close: () => nginx.close() };
    },
  });
}

test("nginx: what is sent is limited", async (context) => {
  needPrograms(context, "nginx");
  using folder = temporaryFolder();
  const nginx = await startNginx(folder.path);
  try {
    expect.hasAssertions();
    await checkSendingRate((rateLimit) => openHttpStore(nginx.url, { rateLimit, proxy: false }));
  } finally {
    await nginx.close();
  }
});

test("nginx: parts of a file are of one version", async (context) => {
  expect.hasAssertions();
  needPrograms(context, "nginx");
  using folder = temporaryFolder();
  const nginx = await startNginx(folder.path);
  try {
    // The same time, so that only the length tells the versions apart.
    const write = async (bytes: Uint8Array): Promise<void> => {
      writeFileSync(folder.join("new"), bytes);
      utimesSync(folder.join("new"), 1_500_000_000, 1_500_000_000);
      renameSync(folder.join("new"), folder.join("a.catar"));
    };
    await checkParts(`${nginx.url}a.catar`, { proxy: false }, write);
  } finally {
    await nginx.close();
  }
});

test("a server that stops and comes back is waited for", async (context) => {
  needPrograms(context, "nginx");
  using folder = temporaryFolder();
  const plain = randomBytes(5000, "nginx");
  layChunk(folder.path, plain);
  const first = await startNginx(folder.path);
  await first.close();
  const store = openHttpStore(first.url, { retries: 8, retryDelay: 40 });
  const reading = readChunk([store], chunkName(plain), plain.length);
  await new Promise((resolve) => setTimeout(resolve, 100));
  const server = await serveDirectory(folder.path, { port: Number(new URL(first.url).port) });
  expect(await reading).toHaveLength(plain.length);
  expect(store.statistics.retries).toBeGreaterThan(0);
  await store.close();
  await server.close();
});

test("a client certificate opens a server that asks for one", async (context) => {
  needPrograms(context, "openssl", "nginx");
  using folder = temporaryFolder();
  const make = (name: string): void => {
    const request = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost";
    const files = ["-keyout", folder.join(`${name}.key`), "-out", folder.join(`${name}.pem`)];
    run("openssl", [...`${request} -addext subjectAltName=DNS:localhost`.split(" "), ...files]);
  };
  make("server");
  make("client");
  mkdirSync(folder.join("root"));
  const plain = randomBytes(5000, "certificate");
  layChunk(folder.join("root"), plain);
  const nginx = await startNginx(
    folder.join("root"),
    `ssl_certificate ${folder.join("server.pem")}; ssl_certificate_key ${folder.join("server.key")};
     ssl_client_certificate ${folder.join("client.pem")}; ssl_verify_client on;`,
  );
  const read = (name: string): string => readFileSync(folder.join(name), "utf8");
  const trust = { certificateAuthority: read("server.pem"), proxy: false, retries: 1, retryDelay: 5 };
  const known = openHttpStore(nginx.url, {
    ...trust,
    clientCertificate: read("client.pem"),
    clientKey: read("client.key"),
  });
  expect(await readChunk([known], chunkName(plain), plain.length)).toHaveLength(plain.length);
  const unknown = openHttpStore(nginx.url, trust);
  await expect(unknown.has(chunkName(plain))).rejects.toMatchObject({ code: "http-status", data: { found: 400 } });
  await Promise.all([known.close(), unknown.close()]);
  await nginx.close();
});

test("HTTP/2 is used where it is offered, on one connection, and survives refused streams; also through a proxy", async (context) => {
  needPrograms(context, "openssl");
  using folder = temporaryFolder();
  const [key, certificate] = [folder.join("key.pem"), folder.join("certificate.pem")];
  const request = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost";
  const name = "-addext subjectAltName=DNS:localhost";
  run("openssl", [...`${request} ${name}`.split(" "), "-keyout", key, "-out", certificate]);
  const chunks = Array.from({ length: 80 }, (_, i) => randomBytes(3000 + i, `h2 ${i}`));
  const files = new Map(chunks.map((bytes) => [chunkName(bytes), readFileSync(layChunk(folder.path, bytes))]));
  const sessions = new Set<ServerHttp2Session>();
  const versions = new Set<string>();
  let count = 0;
  const server = createSecureServer({ key: readFileSync(key), cert: readFileSync(certificate), allowHTTP1: true });
  server.on("session", (session) => sessions.add(session));
  server.on("request", (request, response) => {
    versions.add(request.httpVersion);
    // every seventh stream is reset, as an overloaded server does
    if (++count % 7 === 0 && "stream" in response) {
      response.stream.close(7);
      return;
    }
    const body = files.get(request.url.slice(6, 70));
    response.writeHead(body === undefined ? 404 : 200, { "content-length": body?.length ?? 0 });
    response.end(request.method === "HEAD" ? "" : (body ?? ""));
  });
  await new Promise<void>((resolve) => server.listen(0, "localhost", resolve));
  const url = `https://localhost:${(server.address() as AddressInfo).port}/`;
  const certificateAuthority = readFileSync(certificate, "utf8");
  const options = { certificateAuthority, retryDelay: 5, proxy: false };
  for (const [http2, version] of [
    [true, "2.0"],
    [false, "1.1"],
  ] as const) {
    const store = openHttpStore(url, { ...options, http2 });
    await Promise.all(chunks.map((bytes) => readChunk([store], chunkName(bytes), bytes.length)));
    expect([...versions]).toEqual([version]);
    await expect(store.get(chunkName(chunks[0] ?? new Uint8Array()), undefined, 100)).rejects.toMatchObject({
      code: "http-too-large",
    });
    expect(await store.has(chunkName(Buffer.from("absent")))).toBe(false);
    await store.close();
    versions.clear();
  }
  expect(sessions.size).toBeLessThanOrEqual(2);
  const untrusted = openHttpStore(url, { retryDelay: 5, proxy: false });
  await expect(untrusted.has(chunkName(Buffer.from("absent")))).rejects.toMatchObject({
    code: "http-connection",
    hint: expect.stringContaining("NODE_EXTRA_CA_CERTS") as string,
  });
  expect(untrusted.statistics.requests).toBe(1);
  await untrusted.close();
  // through a proxy of the environment: a tunnel, in which the certificate is still the server's
  const tunnels: string[] = [];
  const proxy = createProxy().on("connect", (request, socket, head) => {
    tunnels.push(request.url ?? "");
    const upstream = connect(Number(new URL(url).port), "localhost", () => {
      socket.write("HTTP/1.1 200 OK\r\n\r\n");
      upstream.write(head);
      upstream.pipe(socket).pipe(upstream);
    });
    upstream.on("error", () => socket.destroy());
    socket.on("error", () => upstream.destroy());
  });
  await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  vi.stubEnv("HTTPS_PROXY", `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`);
  vi.stubEnv("NO_PROXY", "");
  const tunnelled = openHttpStore(url, { ...options, proxy: true });
  await Promise.all(chunks.map((bytes) => readChunk([tunnelled], chunkName(bytes), bytes.length)));
  expect(new Set(tunnels)).toEqual(new Set([new URL(url).host]));
  await tunnelled.close();
  vi.unstubAllEnvs();
  proxy.closeAllConnections();
  proxy.close();
  for (const session of sessions) session.destroy();
  server.close();
});
