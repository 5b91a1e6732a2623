//! Validates values against the subset of JSON Schema that the description uses.

use serde_json::Value;

/// Checks a value against a schema. Objects must not have undescribed fields.
pub(super) fn check(value: &Value, schema: &Value, document: &Value, at: &str) {
    if let Err(problem) = verdict(value, schema, document) {
        panic!("{at}: {problem}");
    }
}

fn verdict(value: &Value, schema: &Value, document: &Value) -> Result<(), String> {
    if let Some(name) = schema["$ref"].as_str() {
        let target = document.pointer(name.trim_start_matches('#')).ok_or_else(|| format!("{name} is not defined"))?;
        return verdict(value, target, document);
    }
    for choice in ["anyOf", "oneOf"] {
        if let Some(some) = schema[choice].as_array() {
            let problems: Vec<String> = some.iter().filter_map(|one| verdict(value, one, document).err()).collect();
            return if problems.len() < some.len() { Ok(()) } else { Err(problems.join(" or ")) };
        }
    }
    if let Some(expected) = schema.get("const") {
        return if value == expected { Ok(()) } else { Err(format!("{value} is not {expected}")) };
    }
    if schema["enum"].as_array().is_some_and(|known| !known.contains(value)) {
        return Err(format!("{value} is none of {}", schema["enum"]));
    }
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => return Ok(()),
    };
    let is = |kind: &str| match kind {
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "null" => value.is_null(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    };
    if !kinds.into_iter().any(is) {
        return Err(format!(
            "{} is not of type {}",
            &value.to_string().chars().take(60).collect::<String>(),
            schema["type"]
        ));
    }
    if let (Some(items), Some(each)) = (value.as_array(), schema.get("items")) {
        for (index, item) in items.iter().enumerate() {
            verdict(item, each, document).map_err(|problem| format!("[{index}]: {problem}"))?;
        }
    }
    if let (Some(fields), Some(known)) = (value.as_object(), schema["properties"].as_object()) {
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !fields.contains_key(name) {
                return Err(format!("{name} is missing"));
            }
        }
        for (name, field) in fields {
            let schema = known.get(name).ok_or_else(|| format!("{name} is not described"))?;
            verdict(field, schema, document).map_err(|problem| format!("{name}: {problem}"))?;
        }
    }
    Ok(())
}
