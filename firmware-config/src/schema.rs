//! The JSON Schema (draft 2020-12) of both files, for editors and for whoever writes them by program.

use crate::{
    closed::WAYS,
    keys::{Key, LeftOut, SCHEMA_VALUE, TABLES, Table, Takes},
};
use serde_json::{Map, Value, json};

/// One schema for `node.toml`, `site.toml` and a file with both halves. It knows every key, type,
/// range and default; what names must exist only the reader can say.
pub fn schema() -> Value {
    let mut properties = Map::new();
    properties.insert(
        "schema".to_owned(),
        json!({ "const": SCHEMA_VALUE, "description": "The version of this format." }),
    );
    for table in TABLES {
        properties.insert(table.name.to_owned(), of_table(table));
    }
    properties.insert(
        "whatsapp".to_owned(),
        json!({
            "type": "array",
            "items": { "type": "object" },
            "description": "Not looked into and not served by this version, with a warning.",
        }),
    );
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:clavija:config:v1",
        "title": "node.toml and site.toml of Clavija",
        "type": "object",
        "required": ["schema"],
        "additionalProperties": false,
        "properties": properties,
    })
}

fn of_table(table: &Table) -> Value {
    let required: Vec<&str> = table
        .keys
        .iter()
        .filter(|key| matches!(key.left_out, LeftOut::Refused))
        .map(|key| key.name)
        .collect();
    let properties: Map<String, Value> =
        table.keys.iter().map(|key| (key.name.to_owned(), of_key(key))).collect();
    let one = json!({
        "type": "object",
        "required": required,
        "additionalProperties": false,
        "properties": properties,
    });
    if table.many {
        return json!({ "type": "array", "items": one, "description": table.about });
    }
    let mut one = one;
    one["description"] = json!(table.about);
    one
}

fn of_key(key: &Key) -> Value {
    let mut of = match &key.takes {
        Takes::Text(like) => json!({ "type": "string", "minLength": 1, "examples": [like] }),
        Takes::Texts(like) => {
            json!({ "type": "array", "items": { "type": "string" }, "examples": [[like]] })
        }
        Takes::Word(words) => json!({ "enum": words }),
        Takes::Words(words) => {
            json!({ "type": "array", "items": { "enum": words }, "uniqueItems": true, "minItems": 1 })
        }
        Takes::Whole { from, to, unit } => {
            json!({ "type": "integer", "minimum": from, "maximum": to, "x-unit": unit })
        }
        Takes::Decimal { from, to, unit } => {
            json!({ "type": "number", "minimum": from, "maximum": to, "x-unit": unit })
        }
        Takes::Wholes { from, to } => json!({
            "type": "array",
            "items": { "type": "integer", "minimum": from, "maximum": to },
            "uniqueItems": true
        }),
        Takes::Flag => json!({ "type": "boolean" }),
        Takes::Secret => secret(),
        Takes::Closed => json!({ "oneOf": WAYS.map(one_key) }),
        Takes::Nothing => json!({ "not": {} }),
    };
    let takes_hold = format!("Changes: {}.", key.change.word());
    let about = match key.left_out {
        LeftOut::Means(what) => format!("{} Left out: {what}. {takes_hold}", key.about),
        LeftOut::Is(_) | LeftOut::Refused => format!("{} {takes_hold}", key.about),
    };
    of["description"] = json!(about);
    if let LeftOut::Is(json) = key.left_out {
        of["default"] = json.parse().unwrap_or(Value::Null);
    }
    of
}

fn secret() -> Value {
    json!({ "oneOf": [
        { "type": "string", "minLength": 1, "description": "As text; warned about." },
        one_key("file"),
        one_key("credential"),
    ] })
}

/// A table with this key and no other.
fn one_key(key: &str) -> Value {
    let text = json!({ "type": "string", "minLength": 1 });
    json!({
        "type": "object",
        "required": [key],
        "additionalProperties": false,
        "properties": { key: text },
    })
}
