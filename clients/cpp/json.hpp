// As much of JSON as the server's messages need: read into a tree, and text put into quotes.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

class Json {
  public:
    // std::runtime_error for what is no JSON.
    static Json parse(const std::string &text) {
        Reader reader{text};
        const Json value = reader.value(0);
        reader.skip();
        if (reader.at != text.size()) reader.fail();
        return value;
    }

    // What is not there, or of another type, is empty.
    const Json &operator[](const std::string &key) const {
        static const Json nothing;
        const auto found = members_.find(key);
        return found == members_.end() ? nothing : found->second;
    }
    const std::string &text() const { return text_; }
    double number() const { return number_; }
    const std::vector<Json> &items() const { return items_; }

  private:
    struct Reader {
        const std::string &text;
        std::size_t at = 0;

        [[noreturn]] void fail() const { throw std::runtime_error("the server sent no JSON"); }

        void skip() {
            while (at < text.size() && (text[at] == ' ' || (text[at] >= '\t' && text[at] <= '\r')))
                ++at;
        }

        bool take(char wanted) {
            skip();
            if (at >= text.size() || text[at] != wanted) return false;
            ++at;
            return true;
        }

        Json value(int depth) {
            if (depth > 100) fail();
            Json found;
            if (take('{')) {
                if (take('}')) return found;
                do {
                    if (!take('"')) fail();
                    const std::string key = string();
                    if (!take(':')) fail();
                    found.members_[key] = value(depth + 1);
                } while (take(','));
                if (!take('}')) fail();
            } else if (take('[')) {
                if (take(']')) return found;
                do found.items_.push_back(value(depth + 1));
                while (take(','));
                if (!take(']')) fail();
            } else if (take('"')) {
                found.text_ = string();
            } else {
                const std::size_t end = text.find_first_of(",]} \t\r\n", at);
                const std::string word = text.substr(at, end - at);
                if (word.empty()) fail();
                at += word.size();
                if (word == "true" || word == "false" || word == "null") return found;
                char *rest = nullptr;
                found.number_ = std::strtod(word.c_str(), &rest);
                if (*rest) fail();
            }
            return found;
        }

        std::string string() {  // behind its first quote
            std::string found;
            while (at < text.size() && text[at] != '"') {
                if (text[at] != '\\') {
                    found += text[at++];
                    continue;
                }
                if (++at >= text.size()) fail();
                static const std::string names = "\"\\/bfnrt", letters = "\"\\/\b\f\n\r\t";
                const std::size_t place = names.find(text[at]);
                if (text[at++] == 'u') utf8(code_point(), found);
                else if (place != std::string::npos) found += letters[place];
                else fail();
            }
            if (at++ >= text.size()) fail();
            return found;
        }

        std::uint32_t hex4() {
            if (at + 4 > text.size()) fail();
            const std::string digits = text.substr(at, 4);
            if (digits.find_first_not_of("0123456789abcdefABCDEF") != std::string::npos) fail();
            at += 4;
            return static_cast<std::uint32_t>(std::stoul(digits, nullptr, 16));
        }

        std::uint32_t code_point() {  // of \uXXXX, or of a pair
            const std::uint32_t first = hex4();
            if (first < 0xD800 || first > 0xDFFF) return first;
            if (first > 0xDBFF || text.compare(at, 2, "\\u") != 0) return 0xFFFD;
            at += 2;
            const std::uint32_t second = hex4();
            if (second < 0xDC00 || second > 0xDFFF) return 0xFFFD;
            return 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
        }

        static void utf8(std::uint32_t code, std::string &out) {
            if (code < 0x80) {
                out += static_cast<char>(code);
                return;
            }
            const int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
            static const unsigned char heads[] = {0, 0xC0, 0xE0, 0xF0};
            out += static_cast<char>(heads[more] | code >> 6 * more);
            for (int i = more; i-- > 0;) out += static_cast<char>(0x80 | (code >> 6 * i & 0x3F));
        }
    };

    std::string text_;
    double number_ = 0;
    std::vector<Json> items_;
    std::map<std::string, Json> members_;
};

// A text as JSON writes it; UTF-8 may stay as it is.
inline std::string quoted(const std::string &text) {
    static const char digits[] = "0123456789abcdef";
    std::string found = "\"";
    for (char letter : text) {
        const auto byte = static_cast<unsigned char>(letter);
        if (letter == '"' || letter == '\\') (found += '\\') += letter;
        else if (byte < 0x20) ((found += "\\u00") += digits[byte >> 4]) += digits[byte & 15];
        else found += letter;
    }
    return found + '"';
}
