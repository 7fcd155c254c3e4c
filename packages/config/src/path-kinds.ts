/**
 * The kinds of paths: expanded, made absolute, and checked to be there.
 * @module
 */
import { ConfigError } from "@imgtool/core";
import { list, notA, scalar } from "./kind.ts";
import type { KindContext, ListKind, ScalarKind, SettingValue } from "./kind.ts";
import { isBelow, normalizePath, resolvePath } from "./paths.ts";

export interface PathOptions {
  /** Something must be there. Default true. */
  readonly required?: boolean;
  readonly directory?: boolean;
  /** The file holds a secret: others must not be able to read it. */
  readonly secret?: boolean;
  /** Words that stand for themselves instead of a path. */
  readonly words?: readonly string[];
  /** Folders that the path must not be in. */
  readonly exclude?: readonly string[];
}

/**
 * An absolute path: $NAME and ${NAME} from the environment, ~ for the home directory, relative to
 * the directory of the configuration.
 * @throws ConfigError when it must be there and is not, or is open to everybody
 */
export function pathOf(value: string, context: KindContext, options: PathOptions = {}): string {
  if (options.words?.includes(value) === true) return value;
  if (value.includes("\0")) throw notA(value, "a path");
  const path = resolvePath(context.workingDirectory, expandHome(expandVariables(value, context), context));
  const status = context.files.status(path);
  if (options.required !== false && status === undefined)
    throw new ConfigError(`${path} does not exist`, { code: "path-missing", data: { path } });
  if (options.directory === true && status !== undefined && status.kind !== "directory")
    throw new ConfigError(`${path} is not a directory`, { code: "path-not-directory", data: { path } });
  if (options.exclude?.some((folder) => isBelow(path, folder)) === true)
    throw new ConfigError(`${path} must not be in ${options.exclude.join(" or ")}`, { code: "path-excluded" });
  if (options.secret === true) refuseOpenSecret(path, context);
  return path;
}

/** @throws ConfigError when everybody on this machine may read, write or run the file */
export function refuseOpenSecret(path: string, context: KindContext): void {
  const mode = context.files.status(path)?.mode ?? 0;
  if ((mode & 0o007) !== 0)
    throw new ConfigError(`${path} holds a secret and is open to everybody (mode ${mode.toString(8)})`, {
      code: "secret-open",
      hint: `chmod o= ${path}`,
    });
}

function expandVariables(value: string, context: KindContext): string {
  return value.replace(/\$(\w+|\{[^}]*\})/g, (whole: string, name: string) => {
    const bare = name.startsWith("{") ? name.slice(1, -1) : name;
    return Object.hasOwn(context.environment, bare) ? (context.environment[bare] ?? whole) : whole;
  });
}

function expandHome(value: string, context: KindContext): string {
  const home = context.environment["HOME"];
  return home !== undefined && (value === "~" || value.startsWith("~/")) ? `${home}${value.slice(1)}` : value;
}

export function path(options: PathOptions = {}): ScalarKind {
  return scalar("a path", (value, context) => pathOf(value, context, options));
}

export function paths(options: PathOptions = {}): ListKind {
  return list("paths", (value, context) => pathOf(value, context, options));
}

/** A key or certificate: a path where such a file exists, else a name that its provider understands. */
export function keyOrName(options: { readonly secret: boolean }): ScalarKind {
  return scalar("a path, or a name that the key's provider understands", (value, context) => {
    const absolute = resolvePath(context.workingDirectory, value);
    return context.files.status(absolute) === undefined ? value : pathOf(value, context, options);
  });
}

export interface TreeOptions {
  readonly required?: boolean;
  readonly directory?: boolean;
  /** The target must be absolute. Default true. */
  readonly absolute?: boolean;
}

/** Trees to copy: `SOURCE[:TARGET]`. */
export function trees(options: TreeOptions = {}): ListKind {
  return list("SOURCE[:TARGET]", (value, context) => treeOf(value, context, options));
}

/** @throws ConfigError when the source is missing though required, or the target is relative */
function treeOf(value: string, context: KindContext, options: TreeOptions = {}): SettingValue {
  const colon = value.indexOf(":");
  const source = pathOf(colon < 0 ? value : value.slice(0, colon), context, {
    required: options.required ?? false,
    directory: options.directory ?? false,
  });
  if (colon < 0) return { Source: source, Target: null };
  const target = expandVariables(value.slice(colon + 1), context);
  if (options.absolute !== false && !target.startsWith("/"))
    throw new ConfigError(`the target ${JSON.stringify(target)} must be an absolute path`, {
      code: "path-relative",
      hint: `write /${target}`,
    });
  return { Source: source, Target: target === "" ? "." : normalizePath(target) };
}
