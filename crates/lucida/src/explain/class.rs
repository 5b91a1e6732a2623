//! Finding a class by name or number.

use super::score::no_such;
use crate::similar::nearest_name;
use crate::weights::{Model, Outputs};
use crate::{Error, Result};

/// The index of the class, label or value for a text: one of the model's class names, ignoring case, or else an index from
/// 0.
///
/// ```
/// use lucida::explain::find_class;
/// use lucida::prelude::*;
///
/// let network = Sequential::new("animals", [4]).add(Dense::new(2).activation(ActivationKind::Softmax)).build(42)?;
/// let model = Model::new(network).with_class_names(["cat", "dog"]);
/// assert_eq!((find_class(&model, "Dog")?, find_class(&model, "0")?), (1, 0));
/// assert!(find_class(&model, "horse").is_err());
/// # Ok::<(), lucida::Error>(())
/// ```
///
/// # Errors
/// As [`Outputs::of`]; [`Error::Argument`] when there is no match, with the nearest name.
pub fn find_class(model: &Model, text: &str) -> Result<usize> {
    let outputs = Outputs::of(model)?;
    let names = &model.class_names;
    let position = |same: fn(&str, &str) -> bool| names.iter().position(|name| same(name, text));
    if let Some(class) = position(|a, b| a == b).or_else(|| position(|a, b| a.to_lowercase() == b.to_lowercase())) {
        return Ok(class);
    }
    match text.parse::<usize>() {
        Ok(class) if class < outputs.count() => return Ok(class),
        Ok(_) => {}
        Err(_) => {
            if let Some(name) = nearest_name(text, names.iter().map(String::as_str)) {
                let (network, noun) = (outputs.network(), outputs.noun());
                return Err(Error::argument(format!(
                    "network {network} has no {noun} {text:?}; did you mean {name:?}?"
                )));
            }
        }
    }
    Err(no_such(&outputs, &format!("{text:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::Network;
    use crate::nn::layers::{Dense, Flatten};

    #[test]
    fn by_name_and_by_number() {
        let network = Network::sequential("pets", [2, 2, 1], [Flatten::new().into(), Dense::new(3).into()], 1).unwrap();
        let names = ["cat", "Dog", "1"].map(str::to_owned).to_vec();
        let named = Model { class_names: names, ..Model::new(network.clone()) };
        let of = |text: &str| find_class(&named, text).unwrap();
        assert_eq!([of("cat"), of("dog"), of("DOG"), of("1"), of("2"), of("0")], [0, 1, 1, 2, 2, 0]);
        let message = find_class(&named, "dgo").unwrap_err().to_string();
        assert!(message.contains("did you mean \"Dog\"?"), "{message}");
        let message = find_class(&named, "3").unwrap_err().to_string();
        assert!(message.contains("no class \"3\": its classes are 0 to 2"), "{message}");
        let nameless = Model::new(network);
        assert!(find_class(&nameless, "cat").unwrap_err().to_string().contains("0 to 2"));
        assert_eq!((named.class_name(1), nameless.class_name(1)), ("Dog".to_owned(), "1".to_owned()));
    }
}
