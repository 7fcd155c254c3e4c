/**
 * Who asks a registry: what `podman login`, `skopeo login` and `docker login` have left
 * (containers-auth.json(5)). Programs that keep credentials for them are not asked.
 * @module
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ConfigError, systemErrorCode } from "@imgtool/core";

export interface RegistryCredentials {
  readonly username: string;
  readonly password: string;
}

interface AuthFile {
  readonly auths?: Readonly<Record<string, { readonly auth?: unknown }>>;
}

/**
 * The credentials for a repository, from the first of the files that has any for it or for what it is
 * below of; undefined: nobody is logged in.
 * @throws ConfigError `credentials-invalid` for a file that is no JSON
 */
export function registryCredentials(
  host: string,
  repository: string,
  environment: NodeJS.ProcessEnv = process.env,
): RegistryCredentials | undefined {
  const names = repository.split("/");
  const keys = names.map((_, i) => [host, ...names.slice(0, names.length - i)].join("/"));
  keys.push(host, `https://${host}`, `https://${host}/v1/`, `https://${host}/v2/`);
  for (const path of authFiles(environment)) {
    const { auths = {} } = readAuthFile(path);
    for (const key of keys) {
      const auth = auths[key]?.auth;
      if (typeof auth !== "string" || auth === "") continue;
      const [username = "", ...password] = Buffer.from(auth, "base64").toString("utf8").split(":");
      return { username, password: password.join(":") };
    }
  }
  return undefined;
}

function authFiles({
  REGISTRY_AUTH_FILE,
  XDG_RUNTIME_DIR,
  XDG_CONFIG_HOME,
  DOCKER_CONFIG,
  HOME,
}: NodeJS.ProcessEnv): string[] {
  if (REGISTRY_AUTH_FILE) return [REGISTRY_AUTH_FILE];
  const configuration = XDG_CONFIG_HOME || (HOME && join(HOME, ".config"));
  const docker = DOCKER_CONFIG || (HOME && join(HOME, ".docker"));
  return [
    ...(XDG_RUNTIME_DIR ? [join(XDG_RUNTIME_DIR, "containers/auth.json")] : []),
    ...(configuration ? [join(configuration, "containers/auth.json")] : []),
    ...(docker ? [join(docker, "config.json")] : []),
  ];
}

function readAuthFile(path: string): AuthFile {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT" || systemErrorCode(error) === "ENOTDIR") return {};
    throw error;
  }
  try {
    return (JSON.parse(text) ?? {}) as AuthFile;
  } catch {
    // The parser's own message would repeat what is in the file.
    throw new ConfigError(`${path} is no JSON: credentials for registries are read from it`, {
      code: "credentials-invalid",
      hint: "log in anew",
      data: { file: path },
    });
  }
}
