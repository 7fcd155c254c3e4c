/**
 * `imgtool.conf`: what imgtool has and mkosi does not, in a file that mkosi does not read. It lies beside
 * mkosi.conf, in the same dialect; `imgtool.local.conf` holds what is one machine's alone and comes after it.
 * @module
 */
import { parseIni } from "./ini.ts";
import { booleanOf } from "./kind.ts";
import { resolvePath } from "./paths.ts";
import { nearest, type Origin } from "./problem.ts";
import type { State } from "./state.ts";

/** [Publish]: where `imgtool publish` puts an image, and how. */
export interface PublishConfig {
  /** Folder of the indexes: an absolute path, or a URL. */
  readonly destination: string | undefined;
  /** The chunk store: an absolute path, or a URL. */
  readonly store: string | undefined;
  /** Codec of new chunks. */
  readonly compression: string | undefined;
  /** Whether chunks are flushed to the disk before the index names them. */
  readonly durable: boolean | undefined;
}

interface Row {
  readonly section: string;
  readonly name: string;
  readonly help: string;
  /** Reads a text; undefined when it is none of the setting's. */
  readonly read: (text: string, folder: string) => string | boolean | undefined;
  /** What it takes, for messages. */
  readonly form: string;
}

const codecs = ["zstd", "xz", "gzip"];

/** Every setting of the file. */
export const ownSettings: readonly Row[] = [
  {
    section: "Build",
    name: "CacheStore",
    help: "A chunk store, a folder or its URL, that keeps what Incremental= keeps, for other machines with the same inputs; whoever may write to it is trusted with the image",
    form: "a path or a URL",
    read: location,
  },
  {
    section: "Publish",
    name: "Destination",
    help: "Folder for the indexes, or the URL of one (s3, gs, azure, oci, sftp, ftp, ftps); default: published/ in the output directory",
    form: "a path or a URL",
    read: location,
  },
  {
    section: "Publish",
    name: "Store",
    help: "The chunk store, a folder or its URL; default: default.castr beside the indexes",
    form: "a path or a URL",
    read: location,
  },
  {
    section: "Publish",
    name: "Compression",
    help: "Codec of new chunks: zstd, xz or gzip; default: zstd",
    form: codecs.join(", "),
    read: (text) => (codecs.includes(text) ? text : undefined),
  },
  {
    section: "Publish",
    name: "Durable",
    help: "Flush chunks to the disk before an index names them; default: yes",
    form: "yes or no",
    read: booleanOf,
  },
];

/** Values by section and name. */
type Values = ReadonlyMap<string, string | boolean>;

/** Reads the project's files of the name; what cannot be read becomes a problem with file and line. */
export function readOwnConfig(root: string, state: State): Values {
  const values = new Map<string, string | boolean>();
  for (const name of ["imgtool.conf", "imgtool.local.conf"]) {
    const file = resolvePath(root, name);
    if (state.files.status(file)?.kind !== "file") continue;
    // Not among the files that the image is made of: its time would become the image's.
    readFile(file, root, state, values);
  }
  return values;
}

function readFile(file: string, root: string, state: State, values: Map<string, string | boolean>): void {
  const { problems } = state;
  const { sections, errors } = parseIni(state.files.readText(file) ?? "", file);
  for (const error of errors) problems.error(error);
  const known = [...new Set(ownSettings.map(({ section }) => section))];
  for (const section of sections) {
    if (!known.includes(section.name)) {
      unknown(
        { file, line: section.line },
        `[${section.name}]`,
        "section",
        known.map((name) => `[${name}]`),
        state,
      );
      continue;
    }
    const rows = ownSettings.filter((row) => row.section === section.name);
    for (const { key, value, line } of section.entries) {
      const origin = { file, line };
      const row = rows.find(({ name }) => name === key);
      if (row === undefined) {
        unknown(
          origin,
          `${key}=`,
          "setting",
          rows.map(({ name }) => `${name}=`),
          state,
        );
        continue;
      }
      const id = `${row.section}.${row.name}`;
      if (value === "") {
        values.delete(id);
        continue;
      }
      const read = row.read(value, root);
      if (read === undefined)
        problems.error({
          ...origin,
          code: "value-invalid",
          message: `${key}=: expected ${row.form}, found ${JSON.stringify(value.slice(0, 80))}`,
        });
      else values.set(id, read);
    }
  }
}

function unknown(origin: Origin, name: string, what: string, all: readonly string[], { problems }: State): void {
  const near = nearest(name, all);
  problems.error({
    ...origin,
    code: "setting-unknown",
    message: `unknown ${what} ${name}`,
    hint: near === undefined ? `known: ${all.join(", ")}` : `did you mean ${near}?`,
  });
}

export function cacheStoreOf(values: Values): string | undefined {
  const value = values.get("Build.CacheStore");
  return typeof value === "string" ? value : undefined;
}

/** The values of [Publish]. */
export function publishConfig(values: Values): PublishConfig {
  const get = (name: string): string | boolean | undefined => values.get(`Publish.${name}`);
  const text = (name: string): string | undefined => {
    const value = get(name);
    return typeof value === "string" ? value : undefined;
  };
  const durable = get("Durable");
  return {
    destination: text("Destination"),
    store: text("Store"),
    compression: text("Compression"),
    durable: typeof durable === "boolean" ? durable : undefined,
  };
}

/** Relative paths follow the file's folder; `host:path` of ssh and URLs stay as they are. */
function location(text: string, folder: string): string {
  return /^[a-z][a-z0-9+.-]*:\/\//i.test(text) || /^[^/]+:/.test(text) ? text : resolvePath(folder, text);
}
