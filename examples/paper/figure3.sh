# Figure 3: the three patterns of largest singular value, for each photograph.
source "$(dirname "$0")/common.sh"
figure=broad
photographs "$@"
