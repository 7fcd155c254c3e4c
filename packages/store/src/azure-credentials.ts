/**
 * Who asks Azure Blob Storage: the account's key, or a shared access signature (SAS), from options or the
 * environment.
 * @module
 */
import { ConfigError } from "@imgtool/core";

export type AzureCredentials =
  /** Of the account, in base64. */
  | { readonly kind: "key"; readonly key: string }
  /** A query, with or without its `?`. */
  | { readonly kind: "sas"; readonly token: string };

export interface AzureEnvironment {
  readonly credentials: AzureCredentials | undefined;
  /** URL of the account's blobs, where that is not Azure's usual one. */
  readonly endpoint: string | undefined;
}

/**
 * What the environment says of an account: AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT with
 * AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN. What it says of another account is not used.
 * @throws ConfigError `credentials-invalid`
 */
export function azureEnvironment(account: string, environment: NodeJS.ProcessEnv = process.env): AzureEnvironment {
  const { AZURE_STORAGE_CONNECTION_STRING: connection } = environment;
  if (connection) {
    const fields = connectionFields(connection);
    // One that has a signature only need not name its account.
    if ((fields.get("accountname") ?? account) !== account) return { credentials: undefined, endpoint: undefined };
    const suffix = fields.get("endpointsuffix");
    const protocol = fields.get("defaultendpointsprotocol") ?? "https";
    const endpoint = suffix === undefined ? undefined : `${protocol}://${account}.blob.${suffix}`;
    return {
      credentials: credentialsOf(fields.get("accountkey"), fields.get("sharedaccesssignature")),
      endpoint: fields.get("blobendpoint") ?? endpoint,
    };
  }
  const { AZURE_STORAGE_ACCOUNT, AZURE_STORAGE_KEY, AZURE_STORAGE_SAS_TOKEN } = environment;
  const isOther = AZURE_STORAGE_ACCOUNT !== undefined && AZURE_STORAGE_ACCOUNT !== account;
  return {
    credentials: isOther ? undefined : credentialsOf(AZURE_STORAGE_KEY, AZURE_STORAGE_SAS_TOKEN),
    endpoint: undefined,
  };
}

function credentialsOf(key: string | undefined, token: string | undefined): AzureCredentials | undefined {
  if (key) {
    if (/^[A-Za-z0-9+/]+={0,2}$/.test(key)) return { kind: "key", key };
    throw new ConfigError("the key of the storage account is not base64", {
      code: "credentials-invalid",
      hint: "copy it from the account's access keys: az storage account keys list",
    });
  }
  return token ? { kind: "sas", token } : undefined;
}

/** `Name=value;…`, of which values may hold `=`. Names are in lower case then. */
function connectionFields(text: string): ReadonlyMap<string, string> {
  const fields = new Map<string, string>();
  for (const field of text.split(";").filter((part) => part.trim() !== "")) {
    const equals = field.indexOf("=");
    if (equals < 1) {
      throw new ConfigError("AZURE_STORAGE_CONNECTION_STRING is not a connection string", {
        code: "credentials-invalid",
        hint: "expected AccountName=…;AccountKey=… or BlobEndpoint=…;SharedAccessSignature=…",
      });
    }
    fields.set(field.slice(0, equals).trim().toLowerCase(), field.slice(equals + 1).trim());
  }
  return fields;
}
