/**
 * How the configuration reads files. This package touches no file system itself, so that it runs in
 * a browser, on an archive or on a test's map; the application hands in an implementation.
 * @module
 */

export type FileKind = "file" | "directory" | "other";

/** What a path leads to, symbolic links followed. */
export interface FileStatus {
  readonly kind: FileKind;
  /** Whether the invoking user may execute it. */
  readonly executable: boolean;
  /** Permission bits, such as 0o644. */
  readonly mode: number;
  /** Time of the last change of the content, in whole seconds since 1970. */
  readonly modified: number;
  /** Equal for two paths that lead to the same file: the real path, or device and inode. */
  readonly identity: string;
}

/** Read access to the project. Every path is absolute. */
export interface ConfigFiles {
  /** The text of a file, decoded as UTF-8, or undefined where no file can be read. */
  readText(path: string): string | undefined;
  /** The names in a directory, in any order and without `.` and `..`, or undefined for anything else. */
  list(path: string): readonly string[] | undefined;
  /** What the path leads to, or undefined where nothing is. */
  status(path: string): FileStatus | undefined;
  /** Runs an executable such as mkosi.version and returns what it prints; without it such files are refused. */
  runText?(path: string): string;
}
