//! A view of `StorageClass`es. Pure.

use crate::k8s::object::{is_true, text, view};

view! {
    /// A storage class.
    StorageClass
}

impl<'a> StorageClass<'a> {
    /// Who provides its volumes.
    pub fn provisioner(self) -> Option<&'a str> {
        text(self.json(), &["provisioner"])
    }

    /// Whether it is the default class.
    pub fn is_default(self) -> bool {
        self.annotation("storageclass.kubernetes.io/is-default-class") == Some("true")
    }

    /// Whether its claims can grow.
    pub fn can_expand(self) -> bool {
        is_true(self.json(), &["allowVolumeExpansion"])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn only_a_clear_word_makes_a_class_the_default() {
        let class = |default: Value| {
            json!({"metadata": {"name": "fast", "annotations": {"storageclass.kubernetes.io/is-default-class": default}},
                   "provisioner": "p", "allowVolumeExpansion": default})
        };
        let (yes, no) = (class("true".into()), class(true.into()));
        assert_eq!((StorageClass::of(&yes).is_default(), StorageClass::of(&no).is_default()), (true, false));
        assert_eq!((StorageClass::of(&yes).can_expand(), StorageClass::of(&no).can_expand()), (false, true));
        assert_eq!(StorageClass::of(&yes).provisioner(), Some("p"));
    }
}
