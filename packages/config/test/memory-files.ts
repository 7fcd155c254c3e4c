// A project in memory: what the tests and the examples hand to resolveConfig as its files.
import type { ConfigFiles, FileStatus } from "../src/index.ts";

export interface MemoryFile {
  readonly text: string;
  readonly mode?: number;
  /** Seconds since 1970. */
  readonly modified?: number;
}

/**
 * Files by absolute path, as text or with mode and time. Their folders are there too; a path that ends
 * in a slash is an empty folder.
 */
export function memoryFiles(
  entries: Readonly<Record<string, string | MemoryFile>>,
  runText?: (path: string) => string,
): ConfigFiles {
  const files = new Map<string, MemoryFile>();
  const folders = new Map<string, Set<string>>([["/", new Set()]]);
  const addFolder = (path: string): void => {
    if (folders.has(path)) return;
    folders.set(path, new Set());
    const slash = path.lastIndexOf("/");
    addFolder(path.slice(0, slash) || "/");
    folders.get(path.slice(0, slash) || "/")?.add(path.slice(slash + 1));
  };
  for (const [path, entry] of Object.entries(entries)) {
    if (path.endsWith("/")) {
      addFolder(path.slice(0, -1) || "/");
      continue;
    }
    const slash = path.lastIndexOf("/");
    addFolder(path.slice(0, slash) || "/");
    folders.get(path.slice(0, slash) || "/")?.add(path.slice(slash + 1));
    files.set(path, typeof entry === "string" ? { text: entry } : entry);
  }
  return {
    readText: (path) => files.get(path)?.text,
    list: (path) => {
      const names = folders.get(path);
      return names === undefined ? undefined : [...names];
    },
    status: (path): FileStatus | undefined => {
      if (folders.has(path)) return { kind: "directory", executable: true, mode: 0o755, modified: 0, identity: path };
      const file = files.get(path);
      if (file === undefined) return undefined;
      const mode = file.mode ?? 0o640;
      return { kind: "file", executable: (mode & 0o100) !== 0, mode, modified: file.modified ?? 0, identity: path };
    },
    ...(runText === undefined ? {} : { runText }),
  };
}
