"""Units of measurement as they are written behind a number, and as they are said."""

from __future__ import annotations

import re

# Symbol -> Mandarin, English of one, English of several.
MEASURES: dict[str, tuple[str, str, str]] = {
    "km/h": ("公里每小时", "kilometer per hour", "kilometers per hour"),
    "m/s": ("米每秒", "meter per second", "meters per second"),
    "mg/L": ("毫克每升", "milligram per liter", "milligrams per liter"),
    "km^2": ("平方公里", "square kilometer", "square kilometers"),
    "cm^2": ("平方厘米", "square centimeter", "square centimeters"),
    "m^2": ("平方米", "square meter", "square meters"),
    "m^3": ("立方米", "cubic meter", "cubic meters"),
    "cm^3": ("立方厘米", "cubic centimeter", "cubic centimeters"),
    "km": ("公里", "kilometer", "kilometers"),
    "cm": ("厘米", "centimeter", "centimeters"),
    "mm": ("毫米", "millimeter", "millimeters"),
    "nm": ("纳米", "nanometer", "nanometers"),
    "m": ("米", "meter", "meters"),
    "ft": ("英尺", "foot", "feet"),
    "mph": ("英里每小时", "mile per hour", "miles per hour"),
    "kg": ("千克", "kilogram", "kilograms"),
    "mg": ("毫克", "milligram", "milligrams"),
    "g": ("克", "gram", "grams"),
    "lb": ("磅", "pound", "pounds"),
    "lbs": ("磅", "pounds", "pounds"),
    "oz": ("盎司", "ounce", "ounces"),
    "ml": ("毫升", "milliliter", "milliliters"),
    "mL": ("毫升", "milliliter", "milliliters"),
    "L": ("升", "liter", "liters"),
    "ms": ("毫秒", "millisecond", "milliseconds"),
    "s": ("秒", "second", "seconds"),
    "min": ("分钟", "minute", "minutes"),
    "h": ("小时", "hour", "hours"),
    "hrs": ("小时", "hours", "hours"),
    "kWh": ("千瓦时", "kilowatt hour", "kilowatt hours"),
    "kW": ("千瓦", "kilowatt", "kilowatts"),
    "W": ("瓦", "watt", "watts"),
    "V": ("伏", "volt", "volts"),
    "mAh": ("毫安时", "milliamp hour", "milliamp hours"),
    "Hz": ("赫兹", "hertz", "hertz"),
    "kHz": ("千赫兹", "kilohertz", "kilohertz"),
    "MHz": ("兆赫兹", "megahertz", "megahertz"),
    "GHz": ("吉赫兹", "gigahertz", "gigahertz"),
    "KB": ("KB", "kilobyte", "kilobytes"),
    "MB": ("MB", "megabyte", "megabytes"),
    "GB": ("GB", "gigabyte", "gigabytes"),
    "TB": ("TB", "terabyte", "terabytes"),
    "dB": ("分贝", "decibel", "decibels"),
    "°C": ("摄氏度", "degree celsius", "degrees celsius"),
    "°F": ("华氏度", "degree fahrenheit", "degrees fahrenheit"),
    "°": ("度", "degree", "degrees"),
}
# A regular expression for any of them, where no letter follows.
SYMBOL = (
    "(?:" + "|".join(map(re.escape, sorted(MEASURES, key=len, reverse=True))) + r")(?![A-Za-z\d^])"
)
