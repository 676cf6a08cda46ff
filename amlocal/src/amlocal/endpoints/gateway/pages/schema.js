// What the endpoint's swagger says of a request: Azure's server makes it from @input_schema, or the script brings one.

/** The schema of what POST /score takes, in Swagger 2 or OpenAPI 3; {} if it says nothing. */
export function schemaOf(swagger) {
  const [, path] = Object.entries(swagger.paths ?? {}).find(([name]) => name.endsWith("/score")) ?? [];
  const schema = path?.post?.parameters?.find(one => one.in === "body")?.schema
    ?? path?.post?.requestBody?.content?.["application/json"]?.schema;
  return resolve(swagger, schema ?? {});
}

function resolve(swagger, schema, depth = 0) {
  if (!schema || typeof schema !== "object" || depth > 20) return {};
  if (typeof schema.$ref === "string") {
    const found = schema.$ref.replace(/^#\//, "").split("/").reduce((here, name) => here?.[name], swagger);
    return resolve(swagger, found, depth + 1);
  }
  const made = { ...schema };
  if (made.items) made.items = resolve(swagger, made.items, depth + 1);
  if (made.properties) {
    made.properties = Object.fromEntries(
      Object.entries(made.properties).map(([name, one]) => [name, resolve(swagger, one, depth + 1)]));
  }
  return made;
}

/** A request to begin with: the schema's own example, else the simplest value that fits. */
export function example(schema) {
  if (schema.example !== undefined) return schema.example;
  if (schema.default !== undefined) return schema.default;
  if (schema.enum?.length) return schema.enum[0];
  if (schema.properties) {
    return Object.fromEntries(Object.entries(schema.properties).map(([name, one]) => [name, example(one)]));
  }
  return { string: "", integer: 0, number: 0, boolean: false, array: schema.items ? [example(schema.items)] : [], object: {} }[schema.type];
}

/** The fields of a form for it: {name, kind: "string" | "number" | "boolean" | "json", told}; [] if none can be made. */
export function fields(schema) {
  return Object.entries(schema.properties ?? {}).map(([name, one]) => {
    const kind = { string: "string", integer: "number", number: "number", boolean: "boolean" }[one.type] ?? "json";
    return { name, kind, told: one.description ?? one.format ?? one.type ?? "" };
  });
}
