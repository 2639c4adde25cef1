/** Common surnames, the commonest first, and characters of given names. Nobody is meant. */
export const SURNAMES = [...Array.from('王李张刘陈杨黄赵吴周徐孙马朱胡郭何林罗高梁郑谢宋唐许韩冯邓曹彭曾肖田董潘袁蔡蒋余于杜叶程魏苏吕丁任卢姚沈钟姜崔谭陆范汪廖石金韦贾夏付方邹熊白孟秦邱侯江尹薛闫段雷龙黎史陶贺毛郝顾龚邵万钱覃武戴孔汤庞殷'), '欧阳', '上官', '司马']
export const GIVEN = Array.from('伟芳娜敏静丽强磊军洋勇艳杰娟涛明超兰霞平刚桂英华玉红玲文建国志海秀荣春梅新宇浩然子涵梓轩雨欣诗琪佳怡晨曦俊博思远嘉乐一诺宁安康福寿德才清云飞鹏辉光林森淑珍素琴凤莲菊香月婷婉倩瑶璐颖慧琳洁莹雪松柏楠桐泽润淳朗逸航锦程书墨')

/** Two-digit city codes after the province, for home towns of people from elsewhere. */
export const ELSEWHERE = [
  '110101', '110108', '120103', '130203', '140105', '150102', '210102', '220104', '230103', '310104', '310115', '320106', '320506', '330106', '330203', '340104',
  '350203', '360103', '370202', '370611', '410105', '411302', '420106', '430104', '440305', '441203', '450103', '460105', '500103', '510107', '520103', '530102',
  '610113', '620102', '630103', '640104', '650102',
]
/** Cities that may be the city: four digits, to which two of a district are added. */
export const HOMES = ['3301', '3302', '3201', '3205', '4201', '4301', '5101', '6101', '3701', '3702', '2101', '2201', '4101', '3401', '3601', '3501']

export const DEPARTMENTS = [
  'cardiology', 'neurology', 'gastroenterology', 'respiratory', 'endocrinology', 'nephrology', 'haematology', 'rheumatology', 'oncology', 'general-surgery',
  'orthopaedics', 'neurosurgery', 'urology', 'thoracic-surgery', 'vascular-surgery', 'obstetrics', 'gynaecology', 'reproductive', 'paediatrics', 'neonatology',
  'ophthalmology', 'ent', 'dental', 'dermatology', 'psychiatry', 'infectious', 'rehabilitation', 'pain', 'tcm-internal', 'acupuncture', 'tcm-orthopaedics',
  'thyroid', 'breast', 'hepatology', 'colorectal', 'stroke', 'sleep', 'allergy', 'geriatrics', 'nutrition', 'radiotherapy', 'hypertension',
]
