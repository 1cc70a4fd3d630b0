# Figure 4: the three patterns of largest narrow significance, for several output neurons.
source "$(dirname "$0")/common.sh"
figure=narrow
photographs "$@"
