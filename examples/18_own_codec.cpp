// SPDX-License-Identifier: MIT
// Classes of your own as bytes, and values again.
#include <cadre/codec.hpp>

#include <string>
#include <utility>

// [serialize]
class account {
 public:
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(owner_, cents_);
  }
  // [/serialize]
  account() = default;
  account(std::string owner, long cents) : owner_{std::move(owner)}, cents_{cents} {}
  long cents() const { return cents_; }

 private:
  std::string owner_;
  long cents_ = 0;
};

class interval {
 public:
  interval(double low, double high) : low_{low}, high_{high} {}
  double low() const { return low_; }
  double high() const { return high_; }

 private:
  double low_, high_;
};

// [codec]
template <>
struct cadre::codec<interval> {
  static void encode(encoder& out, const interval& value) {
    cadre::encode(out, value.low());
    cadre::encode(out, value.high());
  }
  static interval decode(decoder& in) {
    const auto low = cadre::decode<double>(in);
    const auto high = cadre::decode<double>(in);
    if (!(low <= high)) in.fail("an interval ends before it begins");
    return {low, high};
  }
};
// [/codec]

int main() {
  cadre::encoder out;
  cadre::encode(out, account{"Ada", 350});
  cadre::encode(out, interval{1, 2});

  cadre::decoder in{out.bytes()};
  const bool same =
      cadre::decode<account>(in).cents() == 350 && cadre::decode<interval>(in).high() == 2;
  return same ? 0 : 1;
}
