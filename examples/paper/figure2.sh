# Figure 2: the input component decomposition of each photograph's winning neuron.
source "$(dirname "$0")/common.sh"
figure=winner
photographs "$@"
