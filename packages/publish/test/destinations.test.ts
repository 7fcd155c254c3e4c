// @module-tag system
/** A version is published to every kind of place that can be written, updated there, and read from there. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { defaultStoreLocation, type OpenStoreOptions, openStore, serveDirectory } from "@imgtool/store";
import { extractBlob, readIndex } from "@imgtool/sync";
import { needPrograms, randomBytes, type TemporaryFolder, temporaryFolder } from "@imgtool/testkit";
import {
  makeBucket,
  makeContainer,
  startApache,
  startAzurite,
  startProftpd,
  startRegistry,
  startSwift,
} from "@imgtool/testkit/servers";
import { expect, test } from "vitest";
import { publish, type PublishOptions } from "../src/index.ts";

interface Place {
  /** Where the indexes go; a folder of this machine where the place is for chunks alone. */
  readonly destination: string;
  /** Default: the one in the destination. */
  readonly store?: string;
  /** Where the index of a version is. */
  readonly index: (name: string) => string;
  readonly access?: OpenStoreOptions;
  readonly close: () => Promise<void>;
}

interface Kind {
  readonly kind: string;
  /** What has to be installed. */
  readonly programs: readonly string[];
  readonly open: (folder: TemporaryFolder) => Promise<Place>;
}

const nothingToClose = async (): Promise<void> => {};

/** A place below a URL that takes files of any name. */
function below(url: string, rest: Pick<Place, "access" | "close">): Place {
  return { destination: url, index: (name) => `${url.replace(/\/$/, "")}/${name}`, ...rest };
}

/** A store for chunks, with the indexes on this machine. */
function chunksAt(store: string, folder: TemporaryFolder, close: () => Promise<void>): Place {
  return { destination: folder.join("www"), store, index: (name) => folder.join(`www/${name}`), close };
}

const kinds: readonly Kind[] = [
  {
    kind: "a directory",
    programs: [],
    open: async (folder) => below(folder.join("w w w ä"), { close: nothingToClose }),
  },
  {
    kind: "sftp",
    programs: [],
    async open(folder) {
      writeFileSync(folder.join("ssh"), "#!/bin/sh\nexec /usr/lib/openssh/sftp-server\n", { mode: 0o755 });
      const access = { ssh: folder.join("ssh") };
      return below(`sftp://host${encodeURI(folder.join("far ä"))}`, { access, close: nothingToClose });
    },
  },
  {
    kind: "ftp",
    programs: ["proftpd"],
    async open(folder) {
      const server = await startProftpd();
      const access = { ftpCredentials: { user: "tester", password: server.password } };
      return below(`ftp://127.0.0.1:${server.port}${encodeURI(folder.join("far"))}`, {
        access,
        close: () => server.close(),
      });
    },
  },
  {
    kind: "s3",
    programs: ["swift-proxy-server"],
    async open() {
      const server = await startSwift();
      await makeBucket(server, "bucket");
      const access = { credentials: server.credentials };
      return below(`s3+${server.endpoint}/bucket/images`, { access, close: () => server.close() });
    },
  },
  {
    kind: "azure",
    programs: ["azurite-blob"],
    async open() {
      const server = await startAzurite();
      await makeContainer(server, "container");
      const { account, key } = server;
      const access = { azureCredentials: { kind: "key", key } } as const;
      return below(`azure+${server.endpoint}/${account}/container/images`, { access, close: () => server.close() });
    },
  },
  {
    kind: "a registry",
    programs: ["docker-registry"],
    async open() {
      const server = await startRegistry();
      return below(`oci+http://${server.host}/images/demo`, { close: () => server.close() });
    },
  },
  {
    kind: "a web server of ours, for chunks",
    programs: [],
    async open(folder) {
      mkdirSync(folder.join("served/s.castr"), { recursive: true });
      const server = await serveDirectory(folder.join("served"), { writable: true });
      return chunksAt(`${server.url}s.castr`, folder, () => server.close());
    },
  },
  {
    kind: "WebDAV, for chunks",
    programs: ["apache2"],
    async open(folder) {
      mkdirSync(folder.join("served"));
      const server = await startApache(folder.join("served"));
      return chunksAt(`${server.url}s.castr`, folder, () => server.close());
    },
  },
];

/** An image of 2 MB, of which a version changes some 100 kB. */
function version(folder: TemporaryFolder, number: number, { destination, store, access }: Place): PublishOptions {
  const image = randomBytes(2_000_000, "image");
  image.set(randomBytes(100_000, `version ${number}`), 700_000);
  const name = `demo_${number}`;
  writeFileSync(folder.join(`${name}.raw`), image);
  writeFileSync(folder.join(`${name}.roothash`), `${"0".repeat(63)}${number}\n`);
  return {
    family: "demo",
    name,
    version: String(number),
    destination,
    store,
    access,
    durable: false,
    artifacts: [
      { path: folder.join(`${name}.raw`), name: `${name}.raw`, kind: "blob" },
      { path: folder.join(`${name}.roothash`), name: `${name}.roothash`, kind: "file" },
    ],
  };
}

test.for(kinds)("publish to $kind", { timeout: 120_000 }, async ({ programs, open }, context) => {
  needPrograms(context, ...programs);
  using folder = temporaryFolder();
  const place = await open(folder);
  try {
    const first = await publish(version(folder, 1, place));
    expect(first.artifacts[0]?.newChunks).toBeGreaterThan(10);
    const second = await publish(version(folder, 2, place));
    expect(second.artifacts[0]?.update).toMatchObject({ from: "demo_1" });
    expect(second.artifacts[0]?.update?.storedBytes).toBeLessThan(600_000);
    expect(second.artifacts[0]?.newChunks).toBeLessThan(10);
    expect((await publish(version(folder, 2, place))).changed).toBe(false);
    for (const number of [1, 2]) {
      const location = place.index(`demo_${number}.raw.caibx`);
      const index = await readIndex(location, { access: place.access });
      const store = await openStore(place.store ?? defaultStoreLocation(location), place.access);
      try {
        await extractBlob({ index, stores: [store], output: folder.join("out") });
      } finally {
        await store.close();
      }
      expect(readFileSync(folder.join("out")).equals(readFileSync(folder.join(`demo_${number}.raw`)))).toBe(true);
    }
  } finally {
    await place.close();
  }
});

test("a group is no place to publish to: nothing is written, and its members are named", async () => {
  using folder = temporaryFolder();
  const group = `https://user:secret@a.example/s.castr?signature=secret|${folder.join("b.castr")}`;
  const places: readonly Pick<Place, "destination" | "store">[] = [
    { destination: folder.join("www"), store: group },
    { destination: group },
    { destination: `${folder.join("a")}|${folder.join("b")}` },
  ];
  for (const { destination, store } of places) {
    const place = { destination, ...(store === undefined ? {} : { store }), index: String, close: nothingToClose };
    const options = version(folder, 1, place);
    const before = readdirSync(folder.path, { recursive: true });
    const error = await publish(options).catch((caught: unknown) => caught as Error & { readonly hint?: string });
    expect(error).toMatchObject({ code: "store-read-only", exitCode: 2 });
    const text = error instanceof Error ? `${error.message} ${error.hint}` : "";
    for (const member of (store ?? destination).split("|"))
      expect(text).toContain(member.replace(/user:secret@|\?.*/g, ""));
    expect(text).not.toContain("secret");
    expect(readdirSync(folder.path, { recursive: true })).toEqual(before);
  }
});

test("a web server takes no indexes: that is said before anything is written", async () => {
  using folder = temporaryFolder();
  const place = { destination: "https://user:secret@a.example/images", index: String, close: nothingToClose };
  const error = await publish(version(folder, 1, place)).catch((caught: unknown) => caught as Error);
  expect(error).toMatchObject({ exitCode: 2, code: "destination-read-only" });
  expect(error instanceof Error ? error.message : "").not.toContain("secret");
});
