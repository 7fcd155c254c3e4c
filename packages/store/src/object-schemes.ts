/**
 * The drivers that keep whole objects under paths, with what their locations begin with. All of them can
 * read and write, and keep a single file, such as an index; all but registries, which have packs of chunks,
 * can list and remove. Drivers are loaded when they are used.
 * @module
 */
import { isAzureLocation } from "./azure-location.ts";
import type { AzureStoreOptions } from "./azure.ts";
import type { FtpStoreOptions } from "./ftp/store.ts";
import { isFtpLocation } from "./ftp/location.ts";
import type { GsStoreOptions } from "./gs.ts";
import { isBucketLocation } from "./bucket-location.ts";
import type { ObjectCopier, ObjectManager, RangeReader } from "./object-store.ts";
import { isOciLocation } from "./oci/location.ts";
import type { OciStoreOptions } from "./oci/store.ts";
import type { S3StoreOptions } from "./s3.ts";
import { isSftpLocation } from "./sftp/location.ts";
import type { SftpStoreOptions } from "./sftp/store.ts";
import type { PruneStore, WriteStore } from "./store.ts";

export interface ObjectStoreOptions
  extends S3StoreOptions, GsStoreOptions, AzureStoreOptions, SftpStoreOptions, FtpStoreOptions, OciStoreOptions {}

/** The object at a location, whose own path is empty. */
export type ObjectFile = Pick<ObjectManager, "location" | "read" | "create" | "close"> &
  Partial<Pick<RangeReader, "stat" | "readRange"> & ObjectCopier>;

interface ObjectScheme {
  /** What stands before `://`, for messages. */
  readonly names: readonly string[];
  /** Whether names in the location are percent-encoded. */
  readonly isEncoded: boolean;
  takes(location: string): boolean;
  store(location: string, options: ObjectStoreOptions): Promise<WriteStore>;
  /** The store for listing and removing; missing where chunks cannot be removed one by one. */
  prune?(location: string, options: ObjectStoreOptions): Promise<PruneStore>;
  objects(location: string, options: ObjectStoreOptions): Promise<ObjectFile>;
}

/** A scheme whose store can do all. */
function pruning(scheme: Omit<ObjectScheme, "prune" | "store"> & Required<Pick<ObjectScheme, "prune">>): ObjectScheme {
  return { ...scheme, store: scheme.prune };
}

const objectSchemes: readonly ObjectScheme[] = [
  pruning({
    names: ["s3", "s3+http", "s3+https"],
    isEncoded: false,
    takes: (location) => isBucketLocation("s3", location),
    prune: async (location, options) => (await import("./s3.ts")).openS3Store(location, options),
    objects: async (location, options) => (await import("./s3.ts")).openS3Objects(location, options),
  }),
  pruning({
    names: ["gs", "gs+http", "gs+https"],
    isEncoded: false,
    takes: (location) => isBucketLocation("gs", location),
    prune: async (location, options) => (await import("./gs.ts")).openGsStore(location, options),
    objects: async (location, options) => (await import("./gs.ts")).openGsObjects(location, options),
  }),
  pruning({
    names: ["azure", "azure+http", "azure+https"],
    isEncoded: false,
    takes: isAzureLocation,
    prune: async (location, options) => (await import("./azure.ts")).openAzureStore(location, options),
    objects: async (location, options) => (await import("./azure.ts")).openAzureObjects(location, options),
  }),
  pruning({
    names: ["sftp"],
    isEncoded: true,
    takes: isSftpLocation,
    prune: async (location, options) => (await import("./sftp/store.ts")).openSftpStore(location, options),
    objects: async (location, options) => (await import("./sftp/store.ts")).openSftpFiles(location, options),
  }),
  pruning({
    names: ["ftp", "ftps"],
    isEncoded: true,
    takes: isFtpLocation,
    prune: async (location, options) => (await import("./ftp/store.ts")).openFtpStore(location, options),
    objects: async (location, options) => (await import("./ftp/store.ts")).openFtpFiles(location, options),
  }),
  {
    names: ["oci", "oci+http", "oci+https"],
    isEncoded: false,
    takes: isOciLocation,
    store: async (location, options) => (await import("./oci/store.ts")).openOciStore(location, options),
    objects: async (location, options) => new (await import("./oci/files.ts")).OciFile(location, options),
  },
];

/** What locations of objects can begin with. */
export const objectSchemeNames: readonly string[] = objectSchemes.flatMap(({ names }) => names);

/** The driver of a location; undefined where it is a path, a web server, or another machine's program. */
export function objectScheme(location: string): ObjectScheme | undefined {
  return objectSchemes.find((scheme) => scheme.takes(location));
}
