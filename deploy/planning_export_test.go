package deploy

// LaunchLabel is the label of a launch, for tests that launch by themselves.
var LaunchLabel = launchLabel
