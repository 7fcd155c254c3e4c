// @module-tag system
/** Stores in an OCI registry, judged by Docker's registry and by skopeo. */
import { createHash } from "node:crypto";
import { lstatSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { basename, join } from "node:path";
import { needPrograms, randomBytes, runAsync, temporaryFolder } from "@imgtool/testkit";
import { assert, nat, property, uint8Array } from "fast-check";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import {
  chunkName,
  compressChunk,
  defaultStoreLocation,
  fetchStoredFile,
  openPruneStore,
  openRangedFile,
  openStore,
  openWriteStore,
  readChunk,
  type WriteStore,
  writeStoredFile,
} from "../src/index.ts";
import { registryCredentials } from "../src/oci/credentials.ts";
import { chunksTag, parseOciFile, parseOciStore } from "../src/oci/location.ts";
import { decodePackTable, encodePackTable, type PackedPlace } from "../src/oci/pack-table.ts";
import { Registry } from "../src/oci/registry.ts";
import { type OciStoreOptions, openOciStore } from "../src/oci/store.ts";
import { every, readFailures, storeContract, writeFailures } from "./contract.ts";
import { failing, startFaultProxy } from "./fault-proxy.ts";
import { checkCopy } from "./ranged-file.ts";
import { checkSendingRate } from "./sending-rate.ts";
import { startTokenServer } from "./token-server.ts";
import { type RegistryServer, startRegistry } from "@imgtool/testkit/servers";

let started: Promise<RegistryServer> | undefined;
const server = (): Promise<RegistryServer> => (started ??= startRegistry());
afterAll(async () => {
  await (await started)?.close();
});

const common = { proxy: false, retryDelay: 5, registryCredentials: undefined } as const;

async function open(repository: string, options: OciStoreOptions = {}): Promise<ReturnType<typeof openOciStore>> {
  return openOciStore(`oci+http://${(await server()).host}/${repository}`, { ...common, ...options });
}

interface Layer {
  /** Tells whether the files have changed. */
  lay(): Promise<boolean>;
  /** The header by which a chunk is read. */
  range(name: string): string | undefined;
}

/** Puts the contract's files into the registry as they are, in one artifact. */
function layer(root: string, registry: Registry): Layer {
  let seen = "";
  let ranges = new Map<string, string>();
  let last: Promise<boolean> = Promise.resolve(false);
  const copy = async (): Promise<boolean> => {
    const files = (readdirSync(root, { recursive: true }) as string[]).filter((path) => {
      const stats = lstatSync(join(root, path));
      return stats.isFile() && stats.size > 0;
    });
    const state = files.map((path) => `${path} ${statSync(join(root, path)).mtimeMs}`).join();
    if (state === seen) return false;
    seen = state;
    const places = new Map<string, PackedPlace>();
    const contents: Buffer[] = [];
    let offset = 0;
    for (const path of files) {
      const bytes = readFileSync(join(root, path));
      const compressed = path.endsWith(".cacnk");
      places.set(basename(path, ".cacnk"), { pack: 0, compressed, offset, length: bytes.length });
      contents.push(bytes);
      offset += bytes.length;
    }
    const table = await registry.pushBlob(encodePackTable(places), "application/vnd.imgtool.pack-table.v1");
    const pack = await registry.pushBlob(Buffer.concat(contents), "application/vnd.imgtool.pack.v1");
    const artifact = { artifactType: "application/vnd.imgtool.chunks.v1", layers: [table, pack] };
    await registry.pushManifest(artifact, `${chunksTag}laid`);
    ranges = new Map([...places].map(([name, at]) => [name, `bytes=${at.offset}-${at.offset + at.length - 1}`]));
    return true;
  };
  return { lay: () => (last = last.then(copy)), range: (name) => ranges.get(name) };
}

describe("Docker's registry", { timeout: 60_000 }, () => {
  beforeEach((context) => needPrograms(context, "docker-registry"));

  storeContract("OCI registry, through a bad network", {
    reads: every(readFailures),
    writes: {
      ...every(writeFailures),
      slow: {
        not: "a put only gathers; flush() sends, and is not cancelled: what it has sent is of use to the next run",
      },
    },
    renews: { not: "a chunk is kept by the artifact that names it: it has no time of its own" },
    lists: { not: "chunks are in packs, of which none can be removed alone: openPruneStore() refuses registries" },
    open: async (root) => {
      const { host } = await server();
      const proxy = await startFaultProxy(`http://${host}/`);
      const repository = basename(root)
        .toLowerCase()
        .replaceAll(/[^a-z0-9]+/g, "-")
        .replace(/^-|-$/g, "");
      const place = (at: string): string => `oci+http://${at}/${repository}`;
      const options = { ...common, retries: 3, listAge: -1 };
      const direct = new Registry(parseOciStore(place(host)), options);
      const laid = layer(root, direct);
      const opened = [openOciStore(place(new URL(proxy.url).host), options)];
      // What the driver has learned of a tag it does not ask for again: the contract's changes are seen by a new one.
      const reading = async (): Promise<WriteStore> => {
        if (await laid.lay()) opened.unshift(openOciStore(place(new URL(proxy.url).host), options));
        return opened[0] as WriteStore;
      };
      const writing = openOciStore(place(new URL(proxy.url).host), options);
      const all: WriteStore = {
        location: writing.location,
        has: async (name, signal) => (await writing.has(name, signal)) || (await reading()).has(name, signal),
        get: async (name, signal, maxBytes) =>
          (await (await reading()).get(name, signal, maxBytes)) ?? writing.get(name, signal, maxBytes),
        keep: (name, signal) => writing.keep(name, signal),
        put: (name, chunk, signal) => writing.put(name, chunk, signal),
        flush: () => writing.flush(),
        close: async () => {
          await Promise.all([...opened, writing, direct].map((one) => one.close()));
        },
      };
      return {
        store: all,
        writable: all,
        fail(name, failure) {
          proxy.decide = failing(failure, ({ headers }) => {
            const { range } = headers;
            return range !== undefined && range === laid.range(name);
          });
        },
        // the second of the two requests that push a blob
        failWrites(_name, failure) {
          proxy.decide = failing(failure, ({ method, url }) => method === "PUT" && url.includes("digest="));
        },
        close: () => proxy.close(),
      };
    },
  });

  test("what is sent is limited", async () => {
    expect.hasAssertions();
    await checkSendingRate((rateLimit) => open("limited", { rateLimit }));
    await checkSendingRate((rateLimit) => open("limited-packs", { rateLimit, packSize: 150_000 }));
  });

  test("parts of a file are of the content that the tag named when it was opened", async () => {
    const location = `oci+http://${(await server()).host}/ranged/a.catar`;
    await expect(openRangedFile(location, common)).rejects.toMatchObject({ code: "source-missing" });
    const [first, second] = [randomBytes(90_000, "first content"), randomBytes(80_000, "second content")];
    await writeStoredFile(location, first, common);
    await using file = await openRangedFile(location, common);
    await writeStoredFile(location, second, common);
    expect(file?.size).toBe(first.length);
    expect(Buffer.compare((await file?.read(40_000, 50_000)) ?? Buffer.alloc(0), first.subarray(40_000))).toBe(0);
    await checkCopy(location, common, second);
  });

  test("a publish is a few requests; another machine reads it, and the next one names what it keeps", async () => {
    const chunks = Array.from({ length: 500 }, (_, i) => randomBytes(2000 + i, `packed ${i}`));
    const writer = await open("packed", { packSize: 400_000 });
    await Promise.all(chunks.map((bytes) => writer.put(chunkName(bytes), compressChunk(bytes))));
    expect(await writer.put(chunkName(chunks[0] as Uint8Array), compressChunk(chunks[0] as Uint8Array))).toBe(false);
    await writer.flush();
    await writer.flush();
    expect(writer.statistics.requests).toBeLessThan(40);
    await writer.close();
    const reader = await open("packed");
    for (const bytes of chunks)
      expect(Buffer.compare(await readChunk([reader], chunkName(bytes), bytes.length), bytes)).toBe(0);
    await reader.close();

    // The second version: one chunk more, and only that is sent.
    const next = await open("packed");
    const more = randomBytes(3000, "one more");
    for (const bytes of chunks) expect(await next.keep(chunkName(bytes))).toBe(true);
    expect(await next.put(chunkName(more), compressChunk(more))).toBe(true);
    await next.flush();
    await next.close();
    const registry = new Registry(parseOciStore(`oci+http://${(await server()).host}/packed`), common);
    const tags = await registry.tags(chunksTag);
    expect(tags).toHaveLength(2);
    const sizes = await Promise.all(tags.map(async (tag) => (await registry.manifest(tag))?.layers.length ?? 0));
    const larger = tags[sizes[0] === Math.max(...sizes) ? 0 : 1];
    const smaller = tags[sizes[0] === Math.max(...sizes) ? 1 : 0];
    // Without the first version's tag the second one is whole.
    const { host } = await server();
    const head = await fetch(`http://${host}/v2/packed/manifests/${smaller}`, {
      method: "HEAD",
      headers: { accept: "application/vnd.oci.image.manifest.v1+json" },
    });
    const digest = head.headers.get("docker-content-digest");
    expect((await fetch(`http://${host}/v2/packed/manifests/${digest}`, { method: "DELETE" })).status).toBe(202);
    const last = await open("packed", { pageSize: 1 });
    for (const bytes of [...chunks, more]) expect(await last.has(chunkName(bytes))).toBe(true);
    expect(await readChunk([last], chunkName(more), more.length)).toHaveLength(more.length);
    await Promise.all([last.close(), registry.close()]);
    expect(larger).not.toBe(smaller);
  });

  test("tags come in pages", async () => {
    const registry = new Registry(parseOciStore(`oci+http://${(await server()).host}/pages`), {
      ...common,
      pageSize: 2,
    });
    for (let i = 0; i < 7; i++) {
      const blob = await registry.pushBlob(Buffer.from(`blob ${i}`), "text/plain");
      await registry.pushManifest({ artifactType: "text/plain", layers: [blob] }, `tag-${i}`);
    }
    expect((await registry.tags("tag-")).sort()).toEqual(Array.from({ length: 7 }, (_, i) => `tag-${i}`));
    expect(await registry.tags("none")).toEqual([]);
    await registry.close();
  });

  test("indexes are artifacts beside their chunks, replaced as a whole, and skopeo copies them", async (context) => {
    const { host } = await server();
    const location = `oci+http://${host}/product/image.caibx`;
    expect(await fetchStoredFile(location, 100, common)).toBeUndefined();
    await writeStoredFile(location, Buffer.from("index"), common);
    await writeStoredFile(location, Buffer.from("the next index"), common);
    expect(Buffer.from((await fetchStoredFile(location, 100, common)) ?? []).toString()).toBe("the next index");
    await expect(fetchStoredFile(location, 5, common)).rejects.toMatchObject({ exitCode: 3 });
    const place = defaultStoreLocation(location);
    const store = await openWriteStore(place, common);
    expect(store.location).toBe(`oci+http://${host}/product`);
    const bytes = randomBytes(1000, "beside");
    await store.put(chunkName(bytes), compressChunk(bytes));
    await store.flush();
    await store.close();
    await expect(openPruneStore(place, common)).rejects.toMatchObject({ code: "store-read-only" });
    needPrograms(context, "skopeo");
    using folder = temporaryFolder();
    const tags = JSON.parse(
      await runAsync("skopeo", ["list-tags", "--tls-verify=false", `docker://${host}/product`]),
    ) as { Tags: string[] };
    expect(tags.Tags).toContain("image.caibx");
    const files: Record<string, string[]> = {};
    for (const [i, tag] of tags.Tags.entries()) {
      const copy = folder.join(String(i));
      await runAsync("skopeo", ["copy", "--src-tls-verify=false", `docker://${host}/product:${tag}`, `dir:${copy}`]);
      const { layers } = JSON.parse(readFileSync(join(copy, "manifest.json"), "utf8")) as {
        layers: { digest: string; annotations: Record<string, string> }[];
      };
      // What ORAS makes of an artifact: a file of each layer with a title.
      files[tag] = layers.map(({ annotations, digest }) => {
        const head = readFileSync(join(copy, digest.slice(7))).toString("latin1", 0, 15);
        return `${annotations["org.opencontainers.image.title"]?.replace(/^[0-9a-f]{16}/, "ID")}: ${head}`;
      });
    }
    const { "image.caibx": index, ...chunks } = files;
    expect(index).toEqual(["image.caibx: the next index"]);
    expect(Object.values(chunks).map(([table]) => table)).toEqual(["chunks.table: imgtool packs 1"]);
    expect(Object.values(chunks)[0]?.[1]).toMatch(/^ID\.pack: /);
  });

  test("a registry that asks who is there is told, from the file of skopeo login", async () => {
    const locked = await startRegistry("se:cret");
    try {
      using folder = temporaryFolder();
      const auth = Buffer.from("user:se:cret").toString("base64");
      writeFileSync(folder.join("auth.json"), JSON.stringify({ auths: { [locked.host]: { auth } } }));
      const environment = { REGISTRY_AUTH_FILE: folder.join("auth.json") };
      const found = registryCredentials(locked.host, "a/b", environment);
      expect(found).toEqual({ username: "user", password: "se:cret" });
      expect(registryCredentials("elsewhere", "a/b", environment)).toBeUndefined();
      const location = `oci+http://${locked.host}/private`;
      const bytes = randomBytes(1000, "private");
      const store = await openWriteStore(location, { ...common, registryCredentials: found });
      await store.put(chunkName(bytes), compressChunk(bytes));
      await store.flush();
      const reader = await openStore(location, { ...common, registryCredentials: found });
      expect(await readChunk([reader], chunkName(bytes), 1000)).toHaveLength(1000);
      const wrong = { username: "user", password: "hidden" };
      const refused = openOciStore(location, { ...common, registryCredentials: wrong });
      const error: unknown = await refused.get(chunkName(bytes)).catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({ code: "registry-unauthorized", exitCode: 8 });
      expect(JSON.stringify(error)).not.toContain("hidden");
      await Promise.all([store.close(), reader.close(), refused.close()]);
      writeFileSync(folder.join("auth.json"), "no JSON, but a secret");
      expect(() => registryCredentials(locked.host, "a", environment)).toThrow(/is no JSON/);
      expect(() => registryCredentials(locked.host, "a", environment)).not.toThrow(/secret/);
    } finally {
      await locked.close();
    }
  });

  test("a registry that wants tokens gets them from its service, for what is done, and anew when they end", async () => {
    const tokens = await startTokenServer("se:cret");
    const guarded = await startRegistry(tokens);
    const registryCredentials = { username: "user", password: "se:cret" };
    const location = `oci+http://${guarded.host}/team/product`;
    try {
      const [first, second] = [randomBytes(1000, "first"), randomBytes(1000, "second")];
      const store = openOciStore(location, { ...common, registryCredentials });
      await store.put(chunkName(first), compressChunk(first));
      await store.flush();
      expect(new Set(tokens.scopes)).toEqual(
        new Set(["repository:team/product:pull", "repository:team/product:pull,push"]),
      );
      const asked = tokens.scopes.length;
      expect(asked).toBeLessThan(6);
      const reader = openOciStore(location, { ...common, registryCredentials });
      expect(await readChunk([reader], chunkName(first), 1000)).toHaveLength(1000);
      expect(tokens.scopes.slice(asked)).toEqual(["repository:team/product:pull"]);
      await reader.close();
      // A token that has ended within a run: the next ones last.
      tokens.lifetime = 1;
      const late = openOciStore(location, { ...common, registryCredentials });
      expect(await late.has(chunkName(first))).toBe(true);
      await new Promise((resolve) => setTimeout(resolve, 2500));
      tokens.lifetime = 60;
      const before = tokens.scopes.length;
      expect(await readChunk([late], chunkName(first), 1000)).toHaveLength(1000);
      expect(tokens.scopes).toHaveLength(before + 1);
      await late.put(chunkName(second), compressChunk(second));
      await late.flush();
      await late.close();
      await store.close();
      for (const wrong of [undefined, { username: "user", password: "hidden" }]) {
        const refused = openOciStore(location, { ...common, registryCredentials: wrong });
        const error: unknown = await refused.get(chunkName(first)).catch((thrown: unknown) => thrown);
        expect(error).toMatchObject({ code: "registry-unauthorized", exitCode: 8, hint: /login/ });
        expect(JSON.stringify(error)).not.toContain("hidden");
        await refused.close();
      }
    } finally {
      await guarded.close();
      tokens.close();
    }
  });

  test("what is pushed are artifacts as the image specification 1.1 has them, of which ORAS writes files", async () => {
    const { host } = await server();
    const repository = "manifests";
    await writeStoredFile(`oci+http://${host}/${repository}/image.caibx`, Buffer.from("index"), common);
    const store = await openWriteStore(`oci+http://${host}/${repository}`, common);
    for (const i of [1, 2, 3]) await store.put(chunkName(Buffer.from([i])), compressChunk(Buffer.from([i])));
    await store.flush();
    await store.close();
    const registry = `http://${host}/v2/${repository}`;
    const { tags } = (await (await fetch(`${registry}/tags/list`)).json()) as { tags: string[] };
    expect(tags).toHaveLength(2);
    for (const tag of tags) {
      const accept = "application/vnd.oci.image.manifest.v1+json";
      const answer = await fetch(`${registry}/manifests/${tag}`, { headers: { accept } });
      expect(answer.headers.get("content-type")).toBe(accept);
      const manifest = (await answer.json()) as { layers: { digest: string }[] };
      const descriptor = {
        mediaType: expect.stringMatching(/^application\/vnd\.imgtool\.[a-z.-]+\.v1$/),
        digest: expect.stringMatching(/^sha256:[0-9a-f]{64}$/),
        size: expect.any(Number),
        // A name without folders: ORAS writes the file where it is called.
        annotations: { "org.opencontainers.image.title": expect.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]*$/) },
      };
      expect(manifest).toEqual({
        schemaVersion: 2,
        mediaType: accept,
        artifactType: expect.stringMatching(/^application\/vnd\.imgtool\.[a-z]+\.v1$/),
        // "Guidance for an empty descriptor"
        config: {
          mediaType: "application/vnd.oci.empty.v1+json",
          digest: "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
          size: 2,
        },
        layers: manifest.layers.map(() => descriptor),
      });
      expect(manifest.layers.length).toBeGreaterThan(0);
      for (const { digest } of manifest.layers) expect((await fetch(`${registry}/blobs/${digest}`)).status).toBe(200);
    }
  });

  test("pulled by titles over plain HTTP, as ORAS does it, artifacts are the files that they were made from", async () => {
    const { host } = await server();
    const repository = "pulled/by-titles";
    const location = `oci+http://${host}/${repository}`;
    await writeStoredFile(`${location}/image.caibx`, Buffer.from("index"), common);
    const store = openOciStore(location, { ...common, packSize: 4000 });
    const chunks = new Map(
      Array.from({ length: 9 }, (_, i) => randomBytes(1500 + i, `pulled ${i}`)).map((bytes) => [
        chunkName(bytes),
        compressChunk(bytes),
      ]),
    );
    for (const [name, chunk] of chunks) await store.put(name, chunk);
    await store.flush();
    await store.close();
    using folder = temporaryFolder();
    const found = new Map<string, Buffer>();
    for (const tag of await tagsOf(host, repository)) {
      const files = await pullByTitles(host, repository, tag, folder.join(tag));
      const table = files.find((name) => name === "chunks.table");
      if (table === undefined) continue;
      const packs = files
        .filter((name) => name.endsWith(".pack"))
        .map((name) => readFileSync(folder.join(`${tag}/${name}`)));
      expect(packs.length).toBeGreaterThan(1);
      expect(files).toHaveLength(packs.length + 1);
      const sizes = packs.map(({ length }) => length);
      for (const [name, { pack, offset, length }] of decodePackTable(
        readFileSync(folder.join(`${tag}/${table}`)),
        sizes,
      ))
        found.set(name, packs[pack]?.subarray(offset, offset + length) ?? Buffer.alloc(0));
    }
    expect(readFileSync(folder.join("image.caibx/image.caibx"), "utf8")).toBe("index");
    expect([...found.keys()].sort()).toEqual([...chunks.keys()].sort());
    for (const [name, { bytes }] of chunks) expect(found.get(name)?.equals(bytes), name).toBe(true);
  });
});

async function tagsOf(host: string, repository: string): Promise<readonly string[]> {
  return ((await (await fetch(`http://${host}/v2/${repository}/tags/list`)).json()) as { tags: string[] }).tags;
}

/** What `oras pull` does: a file for each layer with a title, in its order. @returns the titles */
async function pullByTitles(host: string, repository: string, tag: string, folder: string): Promise<readonly string[]> {
  const registry = `http://${host}/v2/${repository}`;
  const accept = "application/vnd.oci.image.manifest.v1+json";
  const manifest = await fetch(`${registry}/manifests/${tag}`, { headers: { accept } });
  const { layers } = (await manifest.json()) as {
    layers: { digest: string; size: number; annotations: Record<string, string> }[];
  };
  mkdirSync(folder);
  const titles: string[] = [];
  for (const { digest, size, annotations } of layers) {
    const title = annotations["org.opencontainers.image.title"] ?? "";
    const bytes = Buffer.from(await (await fetch(`${registry}/blobs/${digest}`)).arrayBuffer());
    expect([bytes.length, `sha256:${createHash("sha256").update(bytes).digest("hex")}`]).toEqual([size, digest]);
    // Two of one name are an error to ORAS, and so is a name that leads out of the folder.
    expect(basename(title)).toBe(title);
    writeFileSync(join(folder, title), bytes, { flag: "wx" });
    titles.push(title);
  }
  return titles;
}

test.each([
  ["oci://ghcr.io/owner/name", "https://ghcr.io", "owner/name"],
  ["oci+http://localhost:5000/a/default.castr", "http://localhost:5000", "a"],
  ["oci+https://r.example/a_b/c-d.e/", "https://r.example", "a_b/c-d.e"],
])("%s is a repository", (location, origin, repository) => {
  expect(parseOciStore(location)).toMatchObject({ origin, repository });
});

test.each([
  "oci://",
  "oci://host",
  "oci://host/UPPER",
  "oci://host/a/../b",
  "oci://host/a?b",
  "oci://host/default.castr",
])("%s is refused", (location) => {
  expect(() => parseOciStore(location)).toThrow(expect.objectContaining({ code: "url-invalid" }));
});

test("names that are no tags, and credentials in a location, are refused", () => {
  for (const tag of [`${chunksTag}1`, "-x", "a b", "x".repeat(129), ".."])
    expect(() => parseOciFile(`oci://host/a/${tag}`)).toThrow(expect.objectContaining({ code: "tag-invalid" }));
  expect(() => parseOciStore("oci://user:hidden@host/a")).toThrow(
    expect.objectContaining({ code: "credentials-in-url" }),
  );
  expect(() => parseOciStore("oci://user:hidden@host/a")).not.toThrow(/hidden/);
});

test("a list of tags that never ends is refused", async () => {
  let page = 0;
  const endless = createServer((_, response) => {
    response.writeHead(200, { link: `</v2/a/tags/list?last=${++page}>; rel="next"` }).end('{"tags": []}');
  });
  await new Promise<void>((resolve) => endless.listen(0, "127.0.0.1", resolve));
  const { port } = endless.address() as AddressInfo;
  const registry = new Registry(parseOciStore(`oci+http://127.0.0.1:${port}/a`), common);
  await expect(registry.tags("")).rejects.toMatchObject({ code: "registry-invalid" });
  await registry.close();
  endless.closeAllConnections();
  endless.close();
});

test("a table of packs is read as it was written, and whatever else is refused", () => {
  const places = new Map([
    ["b".repeat(64), { pack: 1, compressed: true, offset: 7, length: 3 }],
    ["a".repeat(64), { pack: 0, compressed: false, offset: 0, length: 10 }],
  ]);
  const bytes = encodePackTable(places);
  expect(new Map(decodePackTable(bytes, [10, 10]))).toEqual(places);
  for (const packs of [[10], [10, 9], [9, 10]])
    expect(() => [...decodePackTable(bytes, packs)]).toThrow(/leads|expected a chunk/);
  assert(
    property(uint8Array({ maxLength: 200 }), nat(127), nat(255), (noise, at, byte) => {
      const altered = Buffer.from(bytes);
      altered[at] = byte;
      for (const input of [noise, altered]) expect(outcome(input)).toBeOneOf(["inside", "pack-table-invalid"]);
    }),
  );
});

/** Whether all chunks are said to be inside the packs, or the code of the error. */
function outcome(bytes: Uint8Array): string {
  try {
    const places = [...decodePackTable(bytes, [10, 10])].map(([, place]) => place);
    return places.every(({ pack, offset, length }) => pack < 2 && offset + length <= 10) ? "inside" : "outside";
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
}
