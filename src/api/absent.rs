//! Decoding of what is absent.
//!
//! V1's schema let an object be stored without its `spec`, and a list is decoded as a whole: one such object would
//! hide all others of its kind. So an absent `spec` decodes as an empty one, and validation says what is missing.

/// Implements `Serialize` and `Deserialize` for a spec that derives both under `#[serde(remote = "...")]` with its
/// own name: as derived, but absent means the default.
///
/// The derive of the root object knows no default for `spec`. What serde does for an absent field is to offer
/// "none" to its type, so it is enough that the type takes it.
macro_rules! absent_means_default {
    ($spec:ident) => {
        impl serde::Serialize for $spec {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                // Inherent functions come first: this is the derived one.
                $spec::serialize(self, serializer)
            }
        }

        impl<'de> serde::Deserialize<'de> for $spec {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Present($spec);
                impl<'de> serde::Deserialize<'de> for Present {
                    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                        $spec::deserialize(deserializer).map(Present)
                    }
                }
                let spec = <Option<Present> as serde::Deserialize>::deserialize(deserializer)?;
                Ok(spec.map(|Present(spec)| spec).unwrap_or_default())
            }
        }
    };
}

pub(super) use absent_means_default;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::api::{Module, ModuleDeployment, ModuleReplicaSet};

    #[test]
    fn an_object_without_a_spec_does_not_hide_the_others() {
        let metadata = json!({ "metadata": { "name": "x" } });
        assert_eq!(serde_json::from_value::<ModuleDeployment>(metadata.clone()).unwrap().spec, Default::default());
        assert_eq!(serde_json::from_value::<ModuleReplicaSet>(metadata.clone()).unwrap().spec, Default::default());
        assert_eq!(serde_json::from_value::<Module>(metadata).unwrap().spec, Default::default());
    }

    #[test]
    fn a_module_without_its_names_decodes_too() {
        let object = json!({ "metadata": {}, "spec": { "template": { "spec": { "module": {} } } } });
        let deployment: ModuleDeployment = serde_json::from_value(object).unwrap();
        assert_eq!(deployment.module().unwrap().name, "");
        assert_eq!(deployment.spec.base_deployment_name, "");
    }

    #[test]
    fn a_spec_is_decoded_and_encoded_as_derived() {
        let spec = json!({ "baseDeploymentName": "base", "replicas": 2, "operationStrategy": { "batchCount": 3 } });
        let object = json!({ "metadata": {}, "spec": spec });
        let deployment: ModuleDeployment = serde_json::from_value(object).unwrap();
        assert_eq!(deployment.spec.replicas, Some(2));
        assert_eq!(serde_json::to_value(&deployment.spec).unwrap(), spec);
    }

    #[test]
    fn a_wrong_type_is_still_an_error() {
        let object = json!({ "metadata": {}, "spec": { "baseDeploymentName": 3 } });
        assert!(serde_json::from_value::<ModuleDeployment>(object).is_err());
    }
}
