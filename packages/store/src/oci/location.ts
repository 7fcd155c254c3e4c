/**
 * Locations in OCI registries, taken apart: `oci://registry/repository` is a chunk store, and
 * `oci://registry/repository/NAME` a file that is kept under the tag NAME. `oci+http://` is for registries
 * without TLS.
 * @module
 */
import { ConfigError } from "@imgtool/core";

export interface OciPlace {
  /** `https://registry` or `http://registry`. */
  readonly origin: string;
  /** Names with slashes between them. */
  readonly repository: string;
  /** The location for messages. */
  readonly shown: string;
}

/** Whether a location is in a registry. */
export function isOciLocation(location: string): boolean {
  return /^oci(?:\+https?)?:\/\//.test(location);
}

/** The name that stands for the repository itself, where stores lie beside their indexes. */
const storeName = "default.castr";

/** What the distribution specification allows (1.1, "Pulling manifests"). */
const namePattern = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const tagPattern = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/;

/**
 * The repository that is a store. A last name `default.castr` stands for the repository before it.
 * @throws ConfigError `url-invalid`; `credentials-in-url`
 */
export function parseOciStore(location: string): OciPlace {
  const { scheme, host, names } = split(location);
  if (names.at(-1) === storeName) names.pop();
  return placeOf(location, scheme, host, names);
}

/** The repository and the tag of a file. @throws as parseOciStore() */
export function parseOciFile(location: string): OciPlace & { readonly tag: string } {
  const { scheme, host, names } = split(location);
  const tag = names.pop() ?? "";
  if (!tagPattern.test(tag) || tag.startsWith(chunksTag)) {
    throw new ConfigError(`a registry cannot keep a file under the name ${JSON.stringify(tag)}`, {
      code: "tag-invalid",
      hint: `use at most 128 letters, digits, dots, underscores and hyphens; names that begin with ${chunksTag} are for chunks`,
      data: { found: tag },
    });
  }
  return { ...placeOf(location, scheme, host, names), tag };
}

/** What tags of chunks begin with. */
export const chunksTag = "imgtool-chunks-";

function split(location: string): { scheme: string; host: string; names: string[] } {
  const [before = "", ...after] = location.split("://");
  const [host = "", ...names] = after.join("://").split("/");
  if (host.includes("@")) {
    throw new ConfigError("the URL of a registry holds credentials, which other users of this machine can see", {
      code: "credentials-in-url",
      hint: "log in with podman login, skopeo login or docker login, whose files are read",
    });
  }
  return {
    scheme: before === "oci+http" ? "http" : "https",
    host,
    names: names.filter((name, i) => name !== "" || i < names.length - 1),
  };
}

function placeOf(location: string, scheme: string, host: string, names: readonly string[]): OciPlace {
  const origin = `${scheme}://${host}`;
  const isValid =
    URL.canParse(origin) && new URL(origin).origin === origin && names.every((name) => namePattern.test(name));
  if (host === "" || names.length === 0 || !isValid) {
    throw new ConfigError(`not a repository of a registry: ${location.split("?", 1)[0]}`, {
      code: "url-invalid",
      hint: "expected oci://registry/repository, with lower-case names",
      data: { found: location.split("?", 1)[0] },
    });
  }
  return { origin, repository: names.join("/"), shown: `${location.split("://", 1)[0]}://${host}/${names.join("/")}` };
}
